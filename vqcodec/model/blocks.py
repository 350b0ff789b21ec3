"""Building blocks shared by encoder and generator: dense convolutions without normalisation."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KNOTS = 6
"""Points of the rate dial at which scales and biases are learned; between them they are interpolated."""


class RateCondition(nn.Module):
    """Scale and bias of every channel, as functions of the point on the rate dial (FiLM; cf. gain units, CVPR 2021)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(KNOTS, 2 * channels))

    def at(self, rate: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and bias, each (N, channels), at points of the dial (N,) in 0..1."""
        place = rate * (KNOTS - 1)
        below = place.floor().clamp(0, KNOTS - 2).long()
        share = (place - below)[:, None]
        values = self.table[below] * (1 - share) + self.table[below + 1] * share
        scale, bias = values.chunk(2, 1)
        return 1 + scale, bias

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        """Apply them to maps (N, channels, H, W)."""
        scale, bias = (value[:, :, None, None].to(x.dtype) for value in self.at(rate))
        return x * scale + bias


class ResidualBlock(nn.Module):
    """Bottleneck residual block: 1x1, 3x3, 1x1 with the 3x3 at half the channels (ELIC, CVPR 2022).

    The bottleneck features are conditioned on the rate.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.enter = nn.Conv2d(channels, hidden, 1)
        self.condition = RateCondition(hidden)
        self.spatial = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.leave = nn.Conv2d(hidden, channels, 1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W); `rate` (N,) is a point of the dial, 0..1."""
        y = self.condition(F.relu(self.enter(x)), rate)
        return x + self.leave(F.relu(self.spatial(y)))


class Stack(nn.ModuleList):
    """Residual blocks one after the other."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__(ResidualBlock(channels) for _ in range(count))

    def __iter__(self) -> Iterator[ResidualBlock]:
        return super().__iter__()  # type: ignore[return-value]

    def forward(self, x: Tensor, rate: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        for block in self:
            x = block(x, rate)
        return x


class Downsample(nn.Module):
    """Halve the resolution: every 2x2 patch becomes one position, then a 1x1 convolution."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, 2h, 2w) to (N, out_channels, h, w)."""
        return self.conv(F.pixel_unshuffle(x, 2))


class Upsample(nn.Module):
    """Double the resolution: a 1x1 convolution, then every position becomes a 2x2 patch (PixelShuffle)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * out_channels, 1)
        icnr_(self.conv, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, out_channels, 2h, 2w)."""
        return F.pixel_shuffle(self.conv(x), 2)


@torch.no_grad()
def icnr_(conv: nn.Conv2d, factor: int) -> None:
    """Start a convolution before PixelShuffle as nearest-neighbour upsampling (ICNR, Aitken et al. 2017)."""
    repeats = factor**2
    conv.weight.copy_(conv.weight[::repeats].repeat_interleave(repeats, 0))
    if conv.bias is not None:
        conv.bias.copy_(conv.bias[::repeats].repeat_interleave(repeats, 0))
