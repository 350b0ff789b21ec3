"""Layers that run over strips: each keeps the rows that its next strip needs.

A 3x3 convolution needs one row below the last row that it outputs. So each layer runs one row behind the layer before
it. Maps are (1, channels, rows, columns) with channels last in memory. Weights are prepared once; where maps are
shuffled, channels are in picture order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.forks import operation
from vqcodec.model.blocks import Downsample, ResidualBlock, Stack, Upsample

# State that a layer keeps for the next strip; `None` before the first strip.
Kept = Any
Layer = Callable[[Tensor, Kept, bool], tuple[Tensor, Kept]]


class Chain:
    """Layers one after the other, over the strips of one picture.

    Args:
        layers: what each strip goes through.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._kept: list[Kept] = [None] * len(layers)

    def __call__(self, x: Tensor, last: bool) -> Tensor:
        """Run the next strip through; `last` for the last one."""
        for number, layer in enumerate(self._layers):
            x, self._kept[number] = layer(x, self._kept[number], last)
        return x


class Convolution:
    """A convolution without padding."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.weight = weight.to(dtype, memory_format=torch.channels_last)
        self.bias = bias.to(dtype)

    @classmethod
    def of(cls, layer: nn.Conv2d, dtype: torch.dtype) -> Convolution:
        return cls(*parameters(layer), dtype)

    def __call__(self, x: Tensor) -> Tensor:
        with operation:
            return F.conv2d(x, self.weight, self.bias)


def stack(blocks: Stack, dtype: torch.dtype, rate: Tensor) -> list[Layer]:
    """Residual blocks one after the other, at a point of the rate dial."""
    return [Residual(block, dtype, rate) for block in blocks]


def halving(layer: Downsample, dtype: torch.dtype) -> Layer:
    """A `Downsample`."""
    weight, bias = parameters(layer.conv)
    weight = weight.unflatten(1, (-1, 2, 2)).permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
    return Halving(Convolution(weight, bias, dtype))


def pointwise(function: Callable[[Tensor], Tensor]) -> Layer:
    """A layer that looks at no neighbours and keeps no state."""
    return lambda x, kept, last: (function(x), None)


class _Band:
    """Input of a 3x3 convolution: the rows of a strip below the two rows before them, in a frame of zeros.

    Args:
        like: any tensor with the dtype and device of the maps.
        channels, rows, columns: shape of the first strip. Later strips may have more rows.
    """

    def __init__(self, like: Tensor, channels: int, rows: int, columns: int) -> None:
        self._buffer = self._framed(like, channels, rows + 3, columns + 2)
        # Number of filled rows. The first one belongs to the frame.
        self._end = 1

    def room(self, rows: int, last: bool) -> tuple[Tensor, Tensor]:
        """Return where to write the next rows, (1, C, rows, columns), and the map to convolve after that."""
        before = self._buffer[:, :, max(self._end - 2, 0) : self._end]
        begin = before.shape[2]
        end = begin + rows
        if end + last > self._buffer.shape[2]:
            _, channels, _, columns = self._buffer.shape
            self._buffer = self._framed(before, channels, end + 1, columns)
        # Copy, because the rows of a low strip overlap with their destination.
        self._buffer[:, :, :begin] = before.clone()
        if last:
            self._buffer[:, :, end] = 0
        self._end = end + last
        return self._buffer[:, :, begin:end, 1:-1], self._buffer[:, :, : self._end]

    @staticmethod
    def _framed(like: Tensor, channels: int, rows: int, columns: int) -> Tensor:
        buffer = like.new_empty(rows, columns, channels)
        buffer[0] = 0
        buffer[:, [0, -1]] = 0
        return buffer.permute(2, 0, 1)[None]


class Spatial:
    """A 3x3 convolution on its own."""

    def __init__(self, convolution: Convolution) -> None:
        self._convolution = convolution

    def __call__(self, x: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        band = kept or _Band(x, *x.shape[1:])
        place, window = band.room(x.shape[2], last)
        place.copy_(x)
        return self._convolution(window), band


class Residual:
    """A `ResidualBlock` at one point of the rate dial, (1,) in 0..1."""

    def __init__(self, block: ResidualBlock, dtype: torch.dtype, rate: Tensor) -> None:
        self._enter = Convolution.of(block.enter, dtype)
        self._spatial = Convolution.of(block.spatial, dtype)
        self._leave = Convolution.of(block.leave, dtype)
        scale, bias = block.condition.at(rate)
        self._scale, self._bias = (value[0, :, None, None].to(dtype) for value in (scale, bias))

    def __call__(self, x: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        y = self._enter(x).relu_()
        band, above = kept or (_Band(y, *y.shape[1:]), None)
        place, window = band.room(x.shape[2], last)
        torch.addcmul(self._bias, y, self._scale, out=place)
        y = self._leave(self._spatial(window).relu_())
        if above is None:
            y += x[:, :, : y.shape[2]]
        else:
            y[:, :, :1] += above
            y[:, :, 1:] += x[:, :, : y.shape[2] - 1]
        return y, (band, x[:, :, -1:].clone())


class Halving:
    """Turns each 2x2 patch into one position. An unpaired row waits for the next strip."""

    def __init__(self, convolution: Convolution) -> None:
        self._convolution = convolution

    def __call__(self, x: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        _, channels, rows, columns = x.shape
        waiting = 0 if kept is None else 1
        count = (waiting + rows) // 2
        # Rows, columns, position within the patch.
        patches = x.new_empty(1, count, columns // 2, 2, 2 * channels)
        upper, lower = patches[:, :, :, 0], patches[:, :, :, 1]
        pairs = x.permute(0, 2, 3, 1).reshape(1, rows, columns // 2, 2 * channels)
        if waiting:
            upper[:, :1] = kept
        upper[:, waiting:] = pairs[:, waiting : 2 * count - waiting : 2]
        lower[:] = pairs[:, 1 - waiting : 2 * count - waiting : 2]
        odd = (waiting + rows) % 2
        left = pairs[:, -1:].clone() if odd else None
        return self._convolution(patches.flatten(3).permute(0, 3, 1, 2)), left


def doubling(layer: Upsample, dtype: torch.dtype) -> Layer:
    convolution = Convolution(*picture_order(layer.conv, 2), dtype)
    return pointwise(lambda x: shuffled(convolution(x), 2))


def picture_order(layer: nn.Conv2d, factor: int) -> tuple[Tensor, Tensor]:
    """Return weight and bias with outputs sorted by row, column and channel, as `shuffled` needs them."""
    weight, bias = (
        value.unflatten(0, (-1, factor, factor)).movedim(0, 2).flatten(0, 2) for value in parameters(layer)
    )
    return weight, bias


def parameters(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias, which every convolution of these networks has."""
    assert layer.bias is not None
    return layer.weight, layer.bias


def shuffled(x: Tensor, factor: int) -> Tensor:
    """PixelShuffle for channels in the order of `picture_order`."""
    rows, columns = x.shape[2:]
    split = x.permute(0, 2, 3, 1).reshape(rows, columns, factor, -1).transpose(1, 2)
    return split.reshape(1, factor * rows, factor * columns, -1).permute(0, 3, 1, 2)
