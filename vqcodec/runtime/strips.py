"""Run the networks of a `VQGAN` over pictures of any size, strip by strip, without computing anything twice.

The strips run from top to bottom. Memory is that of one strip, and the result equals that of the whole picture up to
rounding. Base and sums of pixels are float32 whatever the networks compute in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from vqcodec import forks
from vqcodec.geometry import Box, spans
from vqcodec.model import VQGAN
from vqcodec.model.base import Base
from vqcodec.model.generator import Generator
from vqcodec.planes import Planes
from vqcodec.runtime.layers import (
    Chain,
    Convolution,
    Layer,
    Spatial,
    doubling,
    halving,
    parameters,
    picture_order,
    pointwise,
    shuffled,
    stack,
)
from vqcodec.runtime.networks import LatentsOf, Part
from vqcodec.runtime.pixels import enlarged_part, picture_of

# Pictures with more columns of positions than this are split into bands of about this width.
WIDEST = 1 << 13
# Maximum number of prepared networks in memory, one per rate and realism. Each takes some megabytes.
MOST_PREPARED = 16

Key = TypeVar("Key")
# Layers to 1/8, what enters or leaves there, and layers from there on.
Networks: TypeAlias = tuple[list[Layer], Convolution | None, list[Layer]]


class Strips:
    """Runs encoder and generator of a `VQGAN`.

    Args:
        model: the network, on its device. It is not changed.
        dtype: dtype of maps and weights. Sums are float32 in any case.
        realistic: weights of a second generator.
    """

    def __init__(self, model: VQGAN, dtype: torch.dtype, realistic: dict[str, Tensor] | None = None) -> None:
        self.dtype = dtype
        self.model = model
        self._realistic = realistic
        self._born = forks.generation()
        # By rate, and by rate and weight of the second generator.
        self._encoders: dict[int, Networks] = {}
        self._generators: dict[tuple[int, float], Networks] = {}

    @torch.inference_mode()
    def analyse(self, pixels: np.ndarray, planes: Planes) -> Iterator[tuple[int, Part]]:
        """See `Networks.analyse`."""
        forks.settle(self._device, self._born)
        step, (rows, columns) = self.model.config.downsampling, planes.grid
        upper, fine, lower = _prepared(self._encoders, planes.rate, lambda: self._encoder(planes.point))
        small = _colours(planes) / np.float32(127.5) - 1
        for left, right, first, end in self._bands(columns):
            to_eighth, to_sixteenth = Chain(upper), Chain(lower)
            tops = {8: 0, step: 0}
            for top, bottom, last in self._strips(rows, end - first):
                box = Box(first, top, end, bottom)
                x = to_eighth(self._rest(pixels, small, box), last)
                found = {step: to_sixteenth(x, last)}
                if fine is not None:
                    found[8] = fine(x)
                for grid, out in found.items():
                    latents = out[0].permute(1, 2, 0)
                    times = step // grid
                    inside = latents[:, times * (left - first) : times * (right - first)]
                    yield grid, (tops[grid], times * left, inside.float().cpu().numpy())
                    tops[grid] += len(latents)

    @torch.inference_mode()
    def synthesise(
        self, latents: LatentsOf, planes: Planes, realism: float = 0.0, still: np.ndarray | None = None
    ) -> Iterator[Part]:
        """See `Networks.synthesise`."""
        forks.settle(self._device, self._born)
        step, (rows, columns) = self.model.config.downsampling, planes.grid
        upper, injected, lower = _prepared(
            self._generators, (planes.rate, realism), lambda: self._generator(planes.point, realism)
        )
        moving = (~still).astype(np.float32)[..., None] if still is not None and still.any() else None
        features, small = base_tensor(planes, self._device).features.to(self.dtype), _colours(planes) - 127.5

        def given(grid: int, box: Box) -> Tensor:
            found = torch.from_numpy(latents(grid, box)).to(self._device, self.dtype)
            return found.permute(2, 0, 1)[None]

        def strips(first: int, end: int) -> Iterator[Tensor]:
            to_eighth, to_picture = Chain(upper), Chain(lower)
            done = 0
            for top, bottom, last in self._strips(rows, end - first):
                box = Box(first, top, end, bottom)
                x = to_eighth(torch.cat([given(step, box), box.of(features)], 1), last)
                if injected is not None:
                    place = Box(2 * first, done, 2 * end, done + x.shape[2])
                    x += injected(given(8, place))
                    done += x.shape[2]
                yield to_picture(x, last)[0].permute(1, 2, 0)

        for left, right, first, end in self._bands(columns):
            top = 0
            for out in _aligned(strips(first, end), step):
                inside = out[:, step * (left - first) : step * (right - first)].float().cpu().numpy()
                box = Box(left, top // step, right, (top + len(out)) // step)
                if moving is not None:
                    inside = inside * enlarged_part(moving, box, step).clip(0, 1)
                yield top, step * left, inside + enlarged_part(small, box, step)
                top += len(out)

    def _bands(self, columns: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield left and right of each band, and the same with what its networks look at."""
        halo = self.model.config.halo
        for left, right in spans(columns, WIDEST):
            yield left, right, max(left - halo, 0), min(right + halo, columns)

    def _strips(self, rows: int, columns: int) -> Iterator[tuple[int, int, bool]]:
        """Yield top and bottom of each strip, and whether it is the last. The first is taller, to give some output."""
        height = max(1, self.model.strip_area // columns)
        first = min(rows, height + self.model.config.halo)
        bounds = [0, first, *(first + end for _, end in spans(rows - first, height))]
        for top, bottom in pairwise(bounds):
            yield top, bottom, bottom == rows

    def _rest(self, pixels: np.ndarray, small: np.ndarray, box: Box) -> Tensor:
        """What the encoder sees of a box: the picture without its base, and the base, (1, C, 4 h, 4 w)."""
        step = self.model.config.downsampling
        part = pixels[box.scaled(step).slices]
        below, right = step * box.height - part.shape[0], step * box.width - part.shape[1]
        if below or right:
            part = np.pad(part, ((0, below), (0, right), (0, 0)), "edge")
        part = np.require(part, requirements=["C", "W"])
        rest = torch.from_numpy(part).to(self._device).float().div_(127.5).sub_(1)
        rest -= self._moved(enlarged_part(small, box, step))
        rows, columns = 4 * box.height, 4 * box.width
        out = rest.new_empty(1, rows, columns, 51, dtype=self.dtype)
        out[..., :48] = rest.view(rows, 4, columns, 12).transpose(1, 2).reshape(1, rows, columns, 48)
        out[..., 48:] = self._moved(enlarged_part(small, box, 4))
        return out.permute(0, 3, 1, 2)

    def _moved(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._device)

    @property
    def _device(self) -> torch.device:
        return self.model.latent_rms.device

    def _rms(self, grid: int) -> Tensor:
        return self.model.latent_rms[self.model.grids.index(grid)]

    def _rate(self, point: float) -> Tensor:
        return torch.full((1,), point, device=self._device)

    def _encoder(self, point: float) -> Networks:
        """Layers from pixels to 1/8, what gives latents there, and layers on to latents at 1/16."""
        encoder, dtype, rate = self.model.encoder, self.dtype, self._rate(point)
        weight, bias = parameters(encoder.stem)
        # The rest comes in patches of 4x4 pixels, colours last.
        order = weight[:, :48].unflatten(1, (3, 4, 4)).permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
        stem = Spatial(Convolution(torch.cat([order, weight[:, 48:]], 1), bias, dtype))
        upper: list[Layer] = [
            stem,
            *stack(encoder.at4, dtype, rate),
            halving(encoder.to8, dtype),
            *stack(encoder.at8, dtype, rate),
        ]
        coarse = _head(encoder.head16, self._rms(16), dtype)
        assert coarse is not None  # there are always bands at 1/16
        return (
            upper,
            _head(encoder.head8, self._rms(8), dtype),
            [
                halving(encoder.to16, dtype),
                *stack(encoder.at16, dtype, rate),
                pointwise(coarse),
            ],
        )

    def blended(self, realism: float) -> Generator:
        """Return the generator, with weight `realism` (0..1) of the second one in its weights."""
        generator = self.model.generator
        if realism:
            second = self._realistic
            assert second is not None  # `Transform` rejects realism without a second one
            weights = generator.state_dict()
            generator = copy.deepcopy(generator)
            generator.load_state_dict({name: weights[name].lerp(second[name], realism) for name in weights})
        return generator

    def _generator(self, point: float, realism: float) -> Networks:
        """Layers from latents at 1/16 to 1/8, what latents at 1/8 go through, and layers on to pixels."""
        generator, dtype, rate = self.blended(realism), self.dtype, self._rate(point)
        upper: list[Layer] = [
            pointwise(Convolution.of(generator.stem, dtype)),
            *stack(generator.at16, dtype, rate),
            doubling(generator.to8, dtype),
        ]
        weight, bias = picture_order(generator.head, 4)
        head = Convolution(127.5 * weight, 127.5 * bias, dtype)
        injected = None if generator.enter8 is None else Convolution.of(generator.enter8, dtype)
        return (
            upper,
            injected,
            [
                *stack(generator.at8, dtype, rate),
                doubling(generator.to4, dtype),
                *stack(generator.at4, dtype, rate),
                Spatial(head),
                pointwise(lambda x: shuffled(x, 4)),
            ],
        )


def _prepared(networks: dict[Key, Networks], key: Key, prepare: Callable[[], Networks]) -> Networks:
    """The networks of a key, prepared unless they are there."""
    found = networks.get(key)
    if found is None:
        if len(networks) >= MOST_PREPARED:
            networks.clear()
        found = networks[key] = prepare()
    return found


def base_tensor(planes: Planes, device: torch.device | None = None) -> Base:
    """The base of planes as tensors of one picture."""
    assert planes.base is not None  # models of this family have a base
    assert planes.steps is not None
    found = (
        torch.from_numpy(part.astype(np.float32)[None]).to(device) for part in (planes.base, planes.steps)
    )
    return Base(*found)


def _colours(planes: Planes) -> np.ndarray:
    """The colours of the base of planes, (h, w, 3) float32 in levels."""
    assert planes.base is not None  # models of this family have a base
    assert planes.steps is not None
    return picture_of(planes.base, planes.steps)


def _head(layer: torch.nn.Conv2d | None, rms: Tensor, dtype: torch.dtype) -> Convolution | None:
    """A head of the encoder that gives latents of unit scale."""
    if layer is None:
        return None
    weight, bias = parameters(layer)
    return Convolution(weight / rms, bias / rms, dtype)


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
