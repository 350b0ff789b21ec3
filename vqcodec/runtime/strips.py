"""Run the networks of a `VQGAN` over pictures of any size, strip by strip, without computing anything twice.

The strips run from top to bottom. A 3x3 convolution needs one row below the last row that it outputs. So each
layer runs one row behind the layer before it, and keeps the rows that the next strip needs. Memory is that of
one strip, and the result equals that of the whole picture up to rounding. Maps are (1, channels, rows,
columns) with channels last in memory. Weights are prepared once; where maps are shuffled, channels are in
picture order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.forks import operation
from vqcodec.geometry import Box, spans
from vqcodec.model import VQGAN
from vqcodec.model.blocks import Downsample, ResidualBlock, Upsample
from vqcodec.model.generator import Generator
from vqcodec.runtime.windows import Part

# State that a layer keeps for the next strip; `None` before the first strip.
Kept = Any
Layer = Callable[[Tensor, Kept, bool], tuple[Tensor, Kept]]

# Pictures with more columns of latent positions than this are split into bands of about this width.
WIDEST = 1 << 13
# Maximum number of prepared generators in memory, one per stage count and realism. Each takes some megabytes.
MOST_GENERATORS = 16


class Strips:
    """Runs encoder and generator of a `VQGAN`.

    Args:
        model: the network, on its device. It is not changed.
        dtype: dtype of maps and weights. Sums are float32 in any case.
        realistic: weights of a second generator.
    """

    def __init__(self, model: VQGAN, dtype: torch.dtype, realistic: dict[str, Tensor] | None = None) -> None:
        self.dtype = dtype
        self._model = model
        self._realistic = realistic
        # By number of stages and weight of the second generator.
        self._generators: dict[tuple[int, float], list[Layer]] = {}

    def analyse(self, pixels: np.ndarray) -> Iterator[Part]:
        """Yield the latents of pixels (H, W, 3) uint8 in parts: top, left and (h, w, D) float32."""
        step = self._model.config.downsampling
        rows, columns = -(-pixels.shape[0] // step), -(-pixels.shape[1] // step)

        def cut(box: Box) -> Tensor:
            part = pixels[box.scaled(step).slices]
            below, right = -part.shape[0] % step, -part.shape[1] % step
            if below or right:
                part = np.pad(part, ((0, below), (0, right), (0, 0)), "edge")
            return torch.from_numpy(np.require(part, requirements=["C", "W"])).to(self._device)

        for top, left, latents in self._run(self._encoder, cut, rows, columns, 1):
            yield top, left, latents.float()

    def synthesise(
        self, latents: Callable[[Box], Tensor], rows: int, columns: int, stages: int, realism: float = 0.0
    ) -> Iterator[Part]:
        """Yield the picture of a latent grid in parts: top, left and (h, w, 3), about [-127.5, 127.5].

        Args:
            latents: returns the latents (h, w, D) of a box.
            rows, columns: size of the grid, in latent positions.
            stages: number of stages that the latents were made from.
            realism: weight of the second generator, 0..1.
        """
        layers = self._generators.get((stages, realism))
        if layers is None:
            if len(self._generators) >= MOST_GENERATORS:
                self._generators.clear()
            layers = self._generators[stages, realism] = self._generator(stages, realism)

        def cut(box: Box) -> Tensor:
            return latents(box).to(self.dtype).permute(2, 0, 1)[None]

        step = self._model.config.downsampling
        return self._run(layers, cut, rows, columns, step)

    def _run(
        self, layers: list[Layer], cut: Callable[[Box], Tensor], rows: int, columns: int, step: int
    ) -> Iterator[Part]:
        """Yield the output in parts: top, left and (h, w, C), at `step` positions per latent position."""
        halo = self._model.halo
        for left, right in spans(columns, WIDEST):
            first, end = max(left - halo, 0), min(right + halo, columns)
            top = 0
            for out in _aligned(_through(layers, self._strips(cut, rows, first, end)), step):
                inside = out[:, step * (left - first) : step * (right - first)]
                yield top, step * left, inside
                top += len(out)

    def _strips(
        self, cut: Callable[[Box], Tensor], rows: int, left: int, right: int
    ) -> Iterator[tuple[Tensor, bool]]:
        """Yield each strip's input, and whether it is the last. The first is taller, to give some output."""
        height = max(1, self._model.strip_area // (right - left))
        first = min(rows, height + self._model.halo)
        bounds = [0, first, *(first + end for _, end in spans(rows - first, height))]
        for top, bottom in pairwise(bounds):
            yield cut(Box(left, top, right, bottom)), bottom == rows

    @property
    def _device(self) -> torch.device:
        return self._model.latent_rms.device

    @cached_property
    def _encoder(self) -> list[Layer]:
        encoder = self._model.encoder
        weight, bias = _parameters(encoder.stem)
        stem = weight.unflatten(1, (3, 4, 4)).permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
        layers: list[Layer] = [_Patches(_Convolution(stem / 127.5, bias, self.dtype))]
        for layer in encoder.body:
            if isinstance(layer, ResidualBlock):
                layers.append(_Residual(layer, self.dtype))
            else:
                assert isinstance(layer, Downsample)
                weight, bias = _parameters(layer.conv)
                weight = weight.unflatten(1, (-1, 2, 2)).permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
                layers.append(_Downsample(_Convolution(weight, bias, self.dtype)))
        rms = self._model.latent_rms
        weight, bias = _parameters(encoder.head)
        head = _Convolution(weight / rms, bias / rms, self.dtype)
        return [*layers, _pointwise(lambda x: head(x)[0].permute(1, 2, 0))]

    def blended(self, realism: float) -> Generator:
        """Return the generator, with weight `realism` (0..1) of the second one in its weights."""
        generator = self._model.generator
        if realism:
            second = self._realistic
            assert second is not None  # `Transform` rejects realism without a second one
            weights = generator.state_dict()
            generator = copy.deepcopy(generator)
            generator.load_state_dict({name: weights[name].lerp(second[name], realism) for name in weights})
        return generator

    def _generator(self, stages: int, realism: float) -> list[Layer]:
        generator = self.blended(realism)
        layers: list[Layer] = [_pointwise(_Convolution.of(generator.stem, self.dtype))]
        for layer in generator.body:
            if isinstance(layer, ResidualBlock):
                layers.append(_Residual(layer, self.dtype, stages))
            else:
                assert isinstance(layer, Upsample)
                layers.append(_upsample(layer, self.dtype))
        weight, bias = _picture_order(generator.head, 4)
        head = _Convolution(127.5 * weight, 127.5 * bias, self.dtype)
        return [*layers, _Spatial(head), _pointwise(lambda x: _shuffled(x, 4)[0].permute(1, 2, 0))]


def _through(layers: list[Layer], strips: Iterable[tuple[Tensor, bool]]) -> Iterator[Tensor]:
    kept: list[Kept] = [None] * len(layers)
    for x, last in strips:
        for number, layer in enumerate(layers):
            x, kept[number] = layer(x, kept[number], last)
        yield x


def _aligned(parts: Iterable[Tensor], step: int) -> Iterator[Tensor]:
    """Yield the rows of all parts, split at multiples of `step`. The total is a multiple of `step`."""
    waiting = None
    for part in parts:
        if waiting is not None:
            missing = step - len(waiting)
            yield torch.cat([waiting, part[:missing]])
            part = part[missing:]
        whole = len(part) - len(part) % step
        yield part[:whole]
        waiting = part[whole:] if whole < len(part) else None


class _Convolution:
    """A convolution without padding."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.weight = weight.to(dtype, memory_format=torch.channels_last)
        self.bias = bias.to(dtype)

    @classmethod
    def of(cls, layer: nn.Conv2d, dtype: torch.dtype) -> _Convolution:
        return cls(*_parameters(layer), dtype)

    def __call__(self, x: Tensor) -> Tensor:
        with operation:
            return F.conv2d(x, self.weight, self.bias)


def _pointwise(function: Callable[[Tensor], Tensor]) -> Layer:
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


class _Spatial:
    """A 3x3 convolution on its own."""

    def __init__(self, convolution: _Convolution) -> None:
        self._convolution = convolution

    def __call__(self, x: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        band = kept or _Band(x, *x.shape[1:])
        place, window = band.room(x.shape[2], last)
        place.copy_(x)
        return self._convolution(window), band


class _Patches:
    """The encoder's first convolution, on patches of 4x4 pixels. Takes pixels (16 h, 16 w, 3) uint8."""

    def __init__(self, convolution: _Convolution) -> None:
        self._convolution = convolution

    def __call__(self, pixels: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        rows, columns = pixels.shape[0] // 4, pixels.shape[1] // 4
        patches = pixels.view(rows, 4, columns, 12).transpose(1, 2).reshape(1, rows, columns, 48)
        patches = patches.permute(0, 3, 1, 2)
        band = kept or _Band(self._convolution.weight, 48, rows, columns)
        place, window = band.room(rows, last)
        # Exact in bfloat16: odd multiples of 1/2 with at most 8 bits.
        place.copy_(patches).sub_(127.5)
        return self._convolution(window), band


class _Residual:
    """A `ResidualBlock`, for a fixed number of stages if it is conditioned."""

    def __init__(self, block: ResidualBlock, dtype: torch.dtype, stages: int | None = None) -> None:
        self._enter = _Convolution.of(block.enter, dtype)
        self._spatial = _Convolution.of(block.spatial, dtype)
        self._leave = _Convolution.of(block.leave, dtype)
        self._scale: Tensor | None = None
        self._bias: Tensor | None = None
        if stages is not None:
            assert block.condition is not None
            scale, bias = block.condition.weight[stages - 1, :, None, None].to(dtype).chunk(2)
            self._scale, self._bias = 1 + scale, bias

    def __call__(self, x: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        y = self._enter(x).relu_()
        band, above = kept or (_Band(y, *y.shape[1:]), None)
        place, window = band.room(x.shape[2], last)
        if self._scale is None or self._bias is None:
            place.copy_(y)
        else:
            torch.addcmul(self._bias, y, self._scale, out=place)
        y = self._leave(self._spatial(window).relu_())
        if above is None:
            y += x[:, :, : y.shape[2]]
        else:
            y[:, :, :1] += above
            y[:, :, 1:] += x[:, :, : y.shape[2] - 1]
        return y, (band, x[:, :, -1:].clone())


class _Downsample:
    """Turns each 2x2 patch into one position. An unpaired row waits for the next strip."""

    def __init__(self, convolution: _Convolution) -> None:
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


def _upsample(layer: Upsample, dtype: torch.dtype) -> Layer:
    convolution = _Convolution(*_picture_order(layer.conv, 2), dtype)
    return _pointwise(lambda x: _shuffled(convolution(x), 2))


def _picture_order(layer: nn.Conv2d, factor: int) -> tuple[Tensor, Tensor]:
    """Return weight and bias with outputs sorted by row, column and channel, as `_shuffled` needs them."""
    weight, bias = (
        value.unflatten(0, (-1, factor, factor)).movedim(0, 2).flatten(0, 2) for value in _parameters(layer)
    )
    return weight, bias


def _parameters(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias, which every convolution of these networks has."""
    assert layer.bias is not None
    return layer.weight, layer.bias


def _shuffled(x: Tensor, factor: int) -> Tensor:
    """PixelShuffle for channels in the order of `_picture_order`."""
    rows, columns = x.shape[2:]
    split = x.permute(0, 2, 3, 1).reshape(rows, columns, factor, -1).transpose(1, 2)
    return split.reshape(1, factor * rows, factor * columns, -1).permute(0, 3, 1, 2)
