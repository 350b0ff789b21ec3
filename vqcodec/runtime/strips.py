"""The networks of a `VQGAN` over pictures of any size: strip by strip from top to bottom, nothing computed twice.

A 3x3 convolution needs the row below the last one it may put out. So every layer runs a row behind the one before
it, and keeps the rows that the next strip needs: memory is that of one strip, and the result that of the picture in
one piece, but for rounding. Maps are (1, channels, rows, columns) with channels last in memory; weights are prepared
once, with the channels of maps that are shuffled in the order in which they lie in the picture.
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

from vqcodec.geometry import Box, spans
from vqcodec.model import VQGAN
from vqcodec.model.blocks import ResidualBlock, Upsample
from vqcodec.model.generator import Generator
from vqcodec.runtime.windows import Part

# What a layer keeps for the next strip; `None` before the first.
Kept = Any
Layer = Callable[[Tensor, Kept, bool], tuple[Tensor, Kept]]

# Pictures of more columns of latent positions are cut into bands of about so many.
WIDEST = 1 << 13
# Prepared generators, one per number of stages and realism, that are kept; each takes some megabytes.
MOST_GENERATORS = 16


class Strips:
    """Runs encoder and generator of a `VQGAN`.

    Args:
        model: where it is on its device; read only.
        dtype: of maps and weights, sums are float32 in any case.
        realistic: weights of a second generator.
    """

    def __init__(self, model: VQGAN, dtype: torch.dtype, realistic: dict[str, Tensor] | None = None) -> None:
        self.dtype = dtype
        self._model = model
        self._realistic = realistic
        # By number of stages and share of the second generator.
        self._generators: dict[tuple[int, float], list[Layer]] = {}

    def analyse(self, pixels: np.ndarray) -> Iterator[Part]:
        """Latents of pixels (H, W, 3) uint8, part by part: top, left and (h, w, D) float32."""
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
        """The picture of a latent grid, part by part: top, left and (h, w, 3), about [-127.5, 127.5].

        Args:
            latents: gives those of a box, (h, w, D).
            rows, columns: of the grid.
            stages: how many the latents were made from.
            realism: share of the second generator in the weights, 0..1.
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
        """Outputs (h, w, C) of the last layer, `step` positions per latent position, cut between these."""
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
        """The inputs of all strips, and of each whether it is the last.

        The first is larger, so that behind the last layer something is left of it.
        """
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
        stem = encoder.stem.weight.unflatten(1, (3, 4, 4)).permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
        layers: list[Layer] = [_Patches(_Convolution(stem / 127.5, encoder.stem.bias, self.dtype))]
        for layer in encoder.body:
            if isinstance(layer, ResidualBlock):
                layers.append(_Residual(layer, self.dtype))
            else:
                weight = layer.conv.weight.unflatten(1, (-1, 2, 2)).permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
                layers.append(_Downsample(_Convolution(weight, layer.conv.bias, self.dtype)))
        rms = self._model.latent_rms
        head = _Convolution(encoder.head.weight / rms, encoder.head.bias / rms, self.dtype)
        return [*layers, _pointwise(lambda x: head(x)[0].permute(1, 2, 0))]

    def blended(self, realism: float) -> Generator:
        """The generator with this share of the second one in its weights."""
        generator = self._model.generator
        if realism:
            weights = generator.state_dict()
            generator = copy.deepcopy(generator)
            generator.load_state_dict(
                {name: weights[name].lerp(self._realistic[name], realism) for name in weights}
            )
        return generator

    def _generator(self, stages: int, realism: float) -> list[Layer]:
        generator = self.blended(realism)
        layers: list[Layer] = [_pointwise(_Convolution.of(generator.stem, self.dtype))]
        for layer in generator.body:
            if isinstance(layer, ResidualBlock):
                layers.append(_Residual(layer, self.dtype, stages))
            else:
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
    """The rows of all parts, cut at multiples of `step`, which the number of all rows is one of."""
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
        return cls(layer.weight, layer.bias, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias)


def _pointwise(function: Callable[[Tensor], Tensor]) -> Layer:
    """A layer that looks at no neighbours and keeps nothing."""
    return lambda x, kept, last: (function(x), None)


class _Band:
    """Input of a 3x3 convolution: the rows of a strip below the two before them, in a frame of zeros.

    Args:
        like: anything of the type and device of the maps.
        channels, rows, columns: of the first strip; later ones may have more rows.
    """

    def __init__(self, like: Tensor, channels: int, rows: int, columns: int) -> None:
        self._buffer = self._framed(like, channels, rows + 3, columns + 2)
        # Rows that are filled; the first is of the frame.
        self._end = 1

    def room(self, rows: int, last: bool) -> tuple[Tensor, Tensor]:
        """Make room for the next rows.

        Returns:
            the place (1, C, rows, columns) where they are to be written, and what to convolve once they are there.
        """
        before = self._buffer[:, :, max(self._end - 2, 0) : self._end]
        begin = before.shape[2]
        end = begin + rows
        if end + last > self._buffer.shape[2]:
            _, channels, _, columns = self._buffer.shape
            self._buffer = self._framed(before, channels, end + 1, columns)
        # A copy, since the rows of a low strip overlap with where they go.
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
    """A 3x3 convolution by itself."""

    def __init__(self, convolution: _Convolution) -> None:
        self._convolution = convolution

    def __call__(self, x: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        band = kept or _Band(x, *x.shape[1:])
        place, window = band.room(x.shape[2], last)
        place.copy_(x)
        return self._convolution(window), band


class _Patches:
    """The encoder's first convolution, on patches of 4x4 pixels: from pixels (16 h, 16 w, 3) uint8."""

    def __init__(self, convolution: _Convolution) -> None:
        self._convolution = convolution

    def __call__(self, pixels: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        rows, columns = pixels.shape[0] // 4, pixels.shape[1] // 4
        patches = pixels.view(rows, 4, columns, 12).transpose(1, 2).reshape(1, rows, columns, 48)
        patches = patches.permute(0, 3, 1, 2)
        band = kept or _Band(self._convolution.weight, 48, rows, columns)
        place, window = band.room(rows, last)
        # Exact in bfloat16: odd multiples of 1/2 of at most 8 bits.
        place.copy_(patches).sub_(127.5)
        return self._convolution(window), band


class _Residual:
    """A `ResidualBlock`, told the number of stages if it is conditioned."""

    def __init__(self, block: ResidualBlock, dtype: torch.dtype, stages: int | None = None) -> None:
        self._enter = _Convolution.of(block.enter, dtype)
        self._spatial = _Convolution.of(block.spatial, dtype)
        self._leave = _Convolution.of(block.leave, dtype)
        self._scale = self._bias = None
        if stages is not None:
            scale, bias = block.condition.weight[stages - 1, :, None, None].to(dtype).chunk(2)
            self._scale, self._bias = 1 + scale, bias

    def __call__(self, x: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        y = self._enter(x).relu_()
        band, above = kept or (_Band(y, *y.shape[1:]), None)
        place, window = band.room(x.shape[2], last)
        if self._scale is None:
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
    """Every 2x2 patch becomes one position. A row without its fellow waits for the next strip."""

    def __init__(self, convolution: _Convolution) -> None:
        self._convolution = convolution

    def __call__(self, x: Tensor, kept: Kept, last: bool) -> tuple[Tensor, Kept]:
        _, channels, rows, columns = x.shape
        waiting = 0 if kept is None else 1
        count = (waiting + rows) // 2
        # Rows, columns, and then the position within the patch.
        patches = x.new_empty(1, count, columns // 2, 2, 2 * channels)
        upper, lower = patches[:, :, :, 0], patches[:, :, :, 1]
        pairs = x.permute(0, 2, 3, 1).reshape(1, rows, columns // 2, 2 * channels)
        if waiting:
            upper[:, :1] = kept
        upper[:, waiting:] = pairs[:, waiting : 2 * count - waiting : 2]
        lower[:] = pairs[:, 1 - waiting : 2 * count - waiting : 2]
        odd = (waiting + rows) % 2
        return self._convolution(patches.flatten(3).permute(0, 3, 1, 2)), pairs[
            :, -1:
        ].clone() if odd else None


def _upsample(layer: Upsample, dtype: torch.dtype) -> Layer:
    convolution = _Convolution(*_picture_order(layer.conv, 2), dtype)
    return _pointwise(lambda x: _shuffled(convolution(x), 2))


def _picture_order(layer: nn.Conv2d, factor: int) -> tuple[Tensor, Tensor]:
    """Weight and bias whose outputs are sorted by row, column and channel, as `_shuffled` takes them."""
    return tuple(
        value.unflatten(0, (-1, factor, factor)).movedim(0, 2).flatten(0, 2)
        for value in (layer.weight, layer.bias)
    )


def _shuffled(x: Tensor, factor: int) -> Tensor:
    """PixelShuffle of channels in the order of `_picture_order`."""
    rows, columns = x.shape[2:]
    split = x.permute(0, 2, 3, 1).reshape(rows, columns, factor, -1).transpose(1, 2)
    return split.reshape(1, factor * rows, factor * columns, -1).permute(0, 3, 1, 2)
