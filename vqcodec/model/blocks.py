"""Building blocks of encoder and generator: dense 3x3 convolutions without normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Bottleneck residual block: 1x1, 3x3, 1x1, with the 3x3 at half the channels (ELIC, CVPR 2022).

    With `stages`, the block is conditioned on the number of quantizer stages that its input was made from, by
    a learned scale and bias of the bottleneck features for each stage count.

    Args:
        channels: C.
        stages: number of quantizer stages S, or `None` for no conditioning.
    """

    def __init__(self, channels: int, stages: int | None = None) -> None:
        super().__init__()
        hidden = channels // 2
        self.enter = nn.Conv2d(channels, hidden, 1)
        self.spatial = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.leave = nn.Conv2d(hidden, channels, 1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)
        self.condition = None
        if stages is not None:
            self.condition = nn.Embedding(stages, 2 * hidden)
            nn.init.zeros_(self.condition.weight)

    def forward(self, x: Tensor, stages: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W). `stages` is (N,) int64, the stage count minus 1: 0..S-1."""
        y = F.relu(self.enter(x))
        if self.condition is not None:
            scale, bias = self.condition(stages)[:, :, None, None].to(y.dtype).chunk(2, 1)
            y = y * (1 + scale) + bias
        return x + self.leave(F.relu(self.spatial(y)))


class Downsample(nn.Module):
    """Halve the resolution: turn each 2x2 patch into one position, then apply a 1x1 convolution.

    Args:
        channels: C.
        out_channels: C'.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, 2H, 2W) to (N, C', H, W)."""
        return self.conv(F.pixel_unshuffle(x, 2))


class Upsample(nn.Module):
    """Double the resolution: apply a 1x1 convolution, then PixelShuffle each position into a 2x2 patch.

    Args:
        channels: C.
        out_channels: C'.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * out_channels, 1)
        icnr_(self.conv, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', 2H, 2W)."""
        return F.pixel_shuffle(self.conv(x), 2)


@torch.no_grad()
def icnr_(conv: nn.Conv2d, factor: int) -> None:
    """Initialise a convolution before PixelShuffle as nearest-neighbour upsampling.

    ICNR, Aitken et al. 2017.

    Args:
        conv: the convolution, changed in place.
        factor: upsampling factor of the PixelShuffle.
    """
    repeats = factor**2
    conv.weight.copy_(conv.weight[::repeats].repeat_interleave(repeats, 0))
    if conv.bias is not None:
        conv.bias.copy_(conv.bias[::repeats].repeat_interleave(repeats, 0))
