"""Pixels to latents to index planes, and back to pixels, for pictures of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vqcodec import forks
from vqcodec.geometry import Box
from vqcodec.model import VQGAN
from vqcodec.model.base import Base
from vqcodec.model.quantizer import RATE_BINS
from vqcodec.planes import RATES, Planes
from vqcodec.runtime.device import fastest_dtype, usable_device
from vqcodec.runtime.pixels import base_colours, base_tensor, to_pixels
from vqcodec.runtime.strips import Strips, enlarged_part
from vqcodec.runtime.windows import Part, Windows
from vqcodec.weights import ModelFile

PLAIN_STEP = 1
"""Step of the base, in levels, of tiles that are plain."""

# Share of positions that may go on to a missing layer before the generator is told a lower rate.
_SELDOM = 0.05


def still(planes: Planes) -> np.ndarray | None:
    """Positions (h, w) bool of plain tiles that have no index but 0: their base is the picture."""
    if planes.steps is None:
        return None
    found = planes.steps == PLAIN_STEP
    rows, columns = planes.grid
    for number, plane in enumerate(planes.layers):
        scale = planes.scale(number)
        found = found & ~plane.reshape(rows, scale, columns, scale).any((1, 3))
    return found


class Transform:
    """Networks and quantizer of a model on a device. The networks run over a picture part by part.

    Args:
        file: return value of `load_model`.
        device: torch device that runs the networks.
        dtype: dtype that they compute in; by default the fastest one. Imported models always compute in
            float32.

    Attributes:
        model: the network, with the first of its generators.
        config: configuration of the model.
        device: device of the model.
        networks: runs encoder and generator.
        realism: default weight of the second generator, 0..1.
        most_realism: 1, or 0 if there is only one generator.

    Raises:
        vqcodec.errors.RequestError: torch does not have this device here.
    """

    def __init__(
        self, file: ModelFile, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self.device = usable_device(device)
        self._born = forks.generation()
        # Torch's annotations of `Module.to` lack this form.
        self.model = file.model.to(self.device).to(memory_format=file.model.memory_format)  # type: ignore[call-overload]
        self.networks: Strips | Windows
        if isinstance(self.model, VQGAN):
            second = file.realistic and {
                name: value.to(self.device) for name, value in file.realistic.items()
            }
            self.networks = Strips(self.model, dtype or fastest_dtype(self.device), second)
        else:
            self.networks = Windows(self.model)
        self.config = self.model.config
        self.most_realism = 1.0 if file.realistic else 0.0
        self.realism = float(file.notes.get("realism", self.most_realism))

    @torch.inference_mode()
    def latents(
        self, pixels: np.ndarray, planes: Planes, progress: Callable[[float], None] | None = None
    ) -> dict[int, Tensor]:
        """Encode pixels (H, W, 3) uint8 to latents, by downsampling f: (ceil(H/f), ceil(W/f), D) float32.

        Args:
            pixels: the picture.
            planes: its base and the rate; imported models have neither.
            progress: called after each part with the fraction done, 0..1.
        """
        forks.settle(self.device, self._born)
        step = self.config.downsampling
        rows, columns = -(-pixels.shape[0] // step), -(-pixels.shape[1] // step)
        out: dict[int, Tensor] = {}
        parts: Iterator[tuple[int, Part]]
        if isinstance(self.networks, Strips):
            assert isinstance(self.model, VQGAN)
            parts = self.networks.analyse(pixels, self._base(planes), planes.rate)
            for band in self.model.config.bands:
                times, dim = step // band.downsampling, self.model.config.dim(band.downsampling)
                out[band.downsampling] = torch.empty(times * rows, times * columns, dim)
        else:
            out[step] = torch.empty(rows, columns, self.model.quantizer.codebooks.shape[2])
            parts = ((step, part) for part in self.networks.analyse(pixels))
        total, done = sum(map(len, out.values())) * columns, 0
        for grid, (top, left, latents) in parts:
            out[grid][top : top + latents.shape[0], left : left + latents.shape[1]] = latents
            done += latents.shape[0] * latents.shape[1] * grid // step
            if progress:
                progress(min(1.0, done / total))
        return out

    @torch.inference_mode()
    def quantize(self, latents: dict[int, Tensor], planes: Planes, lmbda: float, beams: int = 2) -> Planes:
        """Add layers of indices to planes. Final layers that add nothing anywhere are left out.

        Args:
            latents: by downsampling, (h, w, D).
            planes: the base and the rate that the latents belong to.
            lmbda: squared latent units per bit (see `vqcodec.rate`).
            beams: sequences of codewords that the search keeps; 1 is greedy.
        """
        forks.settle(self.device, self._born)
        if not isinstance(self.model, VQGAN):
            (latent,) = latents.values()
            chosen = self.model.quantizer.choose(latent.to(self.device).flatten(0, 1), lmbda)
            plane = chosen.view(latent.shape[:2]).cpu().numpy().astype(np.uint16)
            return replace(planes, layers=[plane])
        found, start = [], dict.fromkeys(latents, 0)
        for band, quantizer in zip(self.model.config.bands, self.model.quantizers, strict=True):
            grid, first = band.downsampling, start[band.downsampling]
            start[grid] += band.dim
            part = latents[grid][..., first : start[grid]].to(self.device).flatten(0, 1)
            chosen = quantizer.choose(part, lmbda, planes.point, beams)
            found.append(chosen.T.reshape(-1, *latents[grid].shape[:2]).cpu().numpy().astype(np.uint16))
        layers = [found[layer.band][layer.stage] for layer in self.config.layers]
        return replace(planes, layers=layers).trimmed()

    @torch.inference_mode()
    def settle(self, pixels: np.ndarray, planes: Planes, tolerance: float) -> Planes:
        """Take the indices away where the base alone is near enough to the picture.

        That is in plain tiles, whose base has steps of one level. What is shown there is the base itself, so flat
        colours and ramps come back as they were.

        Args:
            pixels: (H, W, 3) uint8.
            planes: of the picture.
            tolerance: largest difference of any channel, in levels.
        """
        if planes.base is None or planes.steps is None or not (planes.steps == PLAIN_STEP).any():
            return planes
        picture = 127.5 * (self._base(planes).picture + 1)
        step, columns = self.config.downsampling, planes.grid[1]
        near = np.zeros(planes.grid, bool)
        for row in np.flatnonzero((planes.steps == PLAIN_STEP).any(1)).tolist():
            part = pixels[step * row : step * (row + 1)]
            part = np.pad(part, ((0, step - len(part)), (0, step * columns - part.shape[1]), (0, 0)), "edge")
            flat = enlarged_part(picture, Box(0, row, columns, row + 1), step).cpu().numpy()
            off = np.abs(part - flat).reshape(step, columns, step, 3).max((0, 2, 3))
            near[row] = off <= tolerance
        near &= planes.steps == PLAIN_STEP
        if not near.any():
            return planes
        settled = planes.copy()
        for number, plane in enumerate(settled.layers):
            plane[settled.on_layer(number, near)] = 0
        return settled.trimmed()

    def bits(self, planes: Planes) -> float:
        """Estimated rate of the layers of planes in bits, by the tables of the quantizer."""
        if not isinstance(self.model, VQGAN):
            indices = torch.from_numpy(planes.layers[0].astype(np.int64)).flatten()[:, None]
            return float(self.model.quantizer.rate(indices.to(self.device)).sum())
        parts = self._by_band(planes, Box(0, 0, *planes.grid[::-1]))
        return sum(
            float(quantizer.rate(indices.to(self.device), planes.point).sum())
            for quantizer, indices in zip(self.model.quantizers, parts, strict=True)
        )

    def dequantize(self, planes: Planes) -> dict[int, Tensor]:
        """Sums of the codewords of planes, by downsampling: (h, w, D). Layers that are not there add nothing."""
        rows, columns = planes.grid
        step = self.config.downsampling
        if not isinstance(self.model, VQGAN):
            return {step: self._latents_of(planes, step, Box(0, 0, columns, rows))}
        grids = {band.downsampling: step // band.downsampling for band in self.model.config.bands}
        return {
            grid: self._latents_of(planes, grid, Box(0, 0, times * columns, times * rows))
            for grid, times in grids.items()
        }

    def render(self, planes: Planes, realism: float | None = None) -> np.ndarray:
        """Decode planes to pixels (f h, f w, 3) uint8; f is `config.downsampling`.

        See `rendered` for `realism` and errors.
        """
        step = self.config.downsampling
        out = np.empty((step * planes.grid[0], step * planes.grid[1], 3), np.uint8)
        for top, left, pixels in self.rendered(planes, realism):
            out[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return out

    @torch.inference_mode()
    def rendered(self, planes: Planes, realism: float | None) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield the picture of planes in parts that cover it once: top, left and (h, w, 3) uint8.

        Args:
            planes: base and layers.
            realism: weight of the second generator, 0..1; by default that of the model.

        Raises:
            ValueError: `realism` is out of range, or the planes are not of this model.
        """
        forks.settle(self.device, self._born)
        realism = self.realism if realism is None else realism
        if not 0 <= realism <= 1:
            raise ValueError(f"realism {realism} is not between 0 and 1")
        if realism > self.most_realism:
            raise ValueError("this model has one generator, and no other realism than 0")
        planes.check(self.config)

        def latents(grid: int, box: Box) -> Tensor:
            return self._latents_of(planes, grid, box)

        rate = self.fitting_rate(planes) if planes.base is not None else 0
        for top, left, picture in self._synthesised(latents, planes, rate, realism, still(planes)):
            yield top, left, to_pixels(picture).cpu().numpy()

    def flat(self, planes: Planes) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield the base of planes in parts: its colours, each over the square that it is the mean of."""
        assert planes.base is not None  # only models with a base come here
        assert planes.steps is not None
        step = self.config.downsampling
        for row, line in enumerate(base_colours(planes.base, planes.steps)):
            square = np.broadcast_to(line[None, :, None], (step, len(line), step, 3))
            yield step * row, 0, square.reshape(step, -1, 3)

    @torch.inference_mode()
    def render_latents(
        self, latents: dict[int, Tensor], planes: Planes, realism: float | None = None
    ) -> Tensor:
        """Render latents over the base of planes to a picture (f h, f w, 3) float32, about [-1, 1].

        Args:
            latents: by downsampling, (h, w, D).
            planes: base and rate; their layers do not matter.
            realism: see `rendered`.
        """
        step = self.config.downsampling
        some = latents[step]
        out = torch.empty(step * some.shape[0], step * some.shape[1], 3)
        weight = self.realism if realism is None else realism
        parts = self._synthesised(lambda grid, box: latents[grid][box.slices], planes, planes.rate, weight)
        for top, left, part in parts:
            out[top : top + part.shape[0], left : left + part.shape[1]] = part.float() / 127.5
        return out

    def _synthesised(
        self,
        latents: Callable[[int, Box], Tensor],
        planes: Planes,
        rate: int,
        realism: float,
        without: np.ndarray | None = None,
    ) -> Iterator[Part]:
        if isinstance(self.networks, Strips):
            return self.networks.synthesise(latents, self._base(planes), rate, realism, without)
        step = self.config.downsampling
        return self.networks.synthesise(lambda box: latents(step, box), *planes.grid)

    def fitting_rate(self, planes: Planes) -> int:
        """The rate that the generator is told, for planes that may lack layers.

        At a high rate the generator expects the corrections of late layers. Without them, the picture is like one of
        a lower rate: the highest at which positions would seldom go on to a missing layer.
        """
        assert isinstance(self.model, VQGAN)  # models without a dial do not come here
        missing = self.config.layers[len(planes.layers) :]
        # Of every part of the dial, the largest share of positions that would go on to any missing layer.
        wanted = torch.zeros(RATE_BINS)
        for layer in missing:
            reached = torch.exp2(-self.model.quantizers[layer.band].end_bits[: layer.stage + 1, :, 1].cpu())
            wanted = torch.maximum(wanted, reached.prod(0))
        seldom = (wanted < _SELDOM).nonzero().flatten()
        part = int(seldom[-1]) + 1 if len(seldom) else 0
        # A rate at which the encoder left out empty layers by itself stays as it is.
        return min(planes.rate, max(0, part * RATES // RATE_BINS - 1))

    def _base(self, planes: Planes) -> Base:
        assert planes.base is not None  # `Planes.check` has looked
        assert planes.steps is not None
        return base_tensor(planes.base, planes.steps, self.device)

    def _latents_of(self, planes: Planes, grid: int, box: Box) -> Tensor:
        """Latents (h, w, D) of a box of positions at 1/grid: the sums of their codewords."""
        if not isinstance(self.model, VQGAN):
            part = box.of(planes.layers[0]).astype(np.int64)
            indices = torch.from_numpy(part).to(self.device).flatten()[:, None]
            return self.model.quantizer.dequantize(indices).view(*part.shape, -1)
        parts = []
        for number, band in enumerate(self.model.config.bands):
            if band.downsampling != grid:
                continue
            there = self._of_band(planes, number, box)
            if there is None:
                parts.append(torch.zeros(box.height * box.width, band.dim, device=self.device))
            else:
                parts.append(self.model.quantizers[number].dequantize(there.to(self.device)))
        return torch.cat(parts, 1).view(box.height, box.width, -1)

    def _of_band(self, planes: Planes, number: int, box: Box) -> Tensor | None:
        """Indices (n, s) int64 of a band in a box of its positions; `None` if no layer of it is there."""
        found = [
            box.of(plane).ravel()
            for plane, layer in zip(planes.layers, self.config.layers, strict=False)
            if layer.band == number
        ]
        return torch.from_numpy(np.stack(found, 1).astype(np.int64)) if found else None

    def _by_band(self, planes: Planes, box: Box) -> list[Tensor]:
        """Indices (n, S) int64 of all bands in a box of the grid, 0 for layers that are not there."""
        assert isinstance(self.model, VQGAN)
        step = self.config.downsampling
        found = []
        for number, band in enumerate(self.model.config.bands):
            place = box.scaled(step // band.downsampling)
            indices = torch.zeros(place.height * place.width, band.stages, dtype=torch.int64)
            there = self._of_band(planes, number, place)
            if there is not None:
                indices[:, : there.shape[1]] = there
            found.append(indices)
        return found
