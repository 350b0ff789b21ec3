"""Pixels to latents to index planes, and back to pixels, for pictures of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from vqcodec.codebooks import BandCodebooks
from vqcodec.config import RATE_BINS
from vqcodec.geometry import Box
from vqcodec.planes import RATES, Planes
from vqcodec.runtime.networks import Networks
from vqcodec.runtime.pixels import base_colours, enlarged_part, picture_of, to_pixels
from vqcodec.weights import ModelFile

PLAIN_STEP = 1
"""Step of the base, in levels, of tiles that are plain."""

PLAIN_TOLERANCE = 2.5
"""Levels by which a plain square may differ from its base before it gets indices."""

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
    """Networks and codebooks of a model. The networks run over a picture part by part.

    Args:
        file: return value of `load_model`.
        networks: what runs its encoder and its generators.

    Attributes:
        config: configuration of the model.
        networks: as given.
        codebooks: of each band.
        realism: default weight of the second generator, 0..1.
        most_realism: 1, or 0 if there is only one generator.
    """

    def __init__(self, file: ModelFile, networks: Networks) -> None:
        self.config = file.config
        self.networks = networks
        self.codebooks = file.codebooks
        self.most_realism = 1.0 if file.realistic else 0.0
        self.realism = float(file.notes.get("realism", self.most_realism))

    def latents(
        self, pixels: np.ndarray, planes: Planes, progress: Callable[[float], None] | None = None
    ) -> dict[int, np.ndarray]:
        """Encode pixels (H, W, 3) uint8 to latents, by downsampling f: (ceil(H/f), ceil(W/f), D) float32.

        Args:
            pixels: the picture.
            planes: its base and the rate; imported models have neither.
            progress: called after each part with the fraction done, 0..1.
        """
        step = self.config.downsampling
        rows, columns = -(-pixels.shape[0] // step), -(-pixels.shape[1] // step)
        out = {
            grid: np.empty((step // grid * rows, step // grid * columns, dim), np.float32)
            for grid, dim in self.config.dims.items()
        }
        total, done = sum(map(len, out.values())) * columns, 0
        for grid, (top, left, latents) in self.networks.analyse(pixels, planes):
            out[grid][top : top + latents.shape[0], left : left + latents.shape[1]] = latents
            done += latents.shape[0] * latents.shape[1] * grid // step
            if progress:
                progress(min(1.0, done / total))
        return out

    def quantize(
        self, latents: dict[int, np.ndarray], planes: Planes, lmbda: float, beams: int = 2
    ) -> Planes:
        """Add layers of indices to planes. Final layers that add nothing anywhere are left out.

        Args:
            latents: by downsampling, (h, w, D).
            planes: the base and the rate that the latents belong to.
            lmbda: squared latent units per bit (see `vqcodec.rate`).
            beams: sequences of codewords that the search keeps; 1 is greedy.
        """
        found = []
        for band, codebooks in enumerate(self.codebooks):
            grid, channels = self.config.place(band)
            part = latents[grid][..., channels]
            chosen = codebooks.choose(part.reshape(-1, part.shape[2]), lmbda, planes.point, beams)
            found.append(chosen.T.reshape(-1, *part.shape[:2]).astype(np.uint16))
        layers = [found[layer.band][layer.stage] for layer in self.config.layers]
        added = replace(planes, layers=layers)
        return added.trimmed() if self.config.has_base else added

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
        near = self.shown(pixels, planes, (planes.steps == PLAIN_STEP).any(1), tolerance)
        near &= planes.steps == PLAIN_STEP
        if not near.any():
            return planes
        settled = planes.copy()
        for number, plane in enumerate(settled.layers):
            plane[settled.on_layer(number, near)] = 0
        return settled.trimmed()

    def shown(self, pixels: np.ndarray, planes: Planes, rows: np.ndarray, tolerance: float) -> np.ndarray:
        """Positions (h, w) bool that the base alone shows within a tolerance.

        Args:
            pixels: (H, W, 3) uint8.
            planes: with a base of the picture.
            rows: (h,) bool, those that are looked at. Nothing of the others counts as shown.
            tolerance: largest difference of any channel, in levels.
        """
        assert planes.base is not None  # only models with a base come here
        assert planes.steps is not None
        picture = picture_of(planes.base, planes.steps)
        step, columns = self.config.downsampling, planes.grid[1]
        near = np.zeros(planes.grid, bool)
        for row in np.flatnonzero(rows).tolist():
            part = pixels[step * row : step * (row + 1)]
            part = np.pad(part, ((0, step - len(part)), (0, step * columns - part.shape[1]), (0, 0)), "edge")
            flat = enlarged_part(picture, Box(0, row, columns, row + 1), step)
            off = np.abs(part - flat).reshape(step, columns, step, 3).max((0, 2, 3))
            near[row] = off <= tolerance
        return near

    def bits(self, planes: Planes) -> float:
        """Estimated rate of the layers of planes in bits, by the tables of the codebooks."""
        whole = Box(0, 0, *planes.grid[::-1])
        total = 0.0
        for band, codebooks in enumerate(self.codebooks):
            indices = self._indices(planes, band, whole)
            if indices is not None:
                total += float(codebooks.rate(indices, planes.point).sum(dtype=np.float64))
        return total

    def dequantize(self, planes: Planes) -> dict[int, np.ndarray]:
        """Sums of the codewords of planes, by downsampling: (h, w, D). Layers that are not there add nothing."""
        rows, columns = planes.grid
        whole, step = Box(0, 0, columns, rows), self.config.downsampling
        return {grid: self._latents_of(planes, grid, whole.scaled(step // grid)) for grid in self.config.dims}

    def render(self, planes: Planes, realism: float | None = None) -> np.ndarray:
        """Decode planes to pixels (f h, f w, 3) uint8; f is `config.downsampling`.

        See `rendered` for `realism` and errors.
        """
        step = self.config.downsampling
        out = np.empty((step * planes.grid[0], step * planes.grid[1], 3), np.uint8)
        for top, left, pixels in self.rendered(planes, realism):
            out[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return out

    def rendered(self, planes: Planes, realism: float | None) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield the picture of planes in parts that cover it once: top, left and (h, w, 3) uint8.

        Args:
            planes: base and layers.
            realism: weight of the second generator, 0..1; by default that of the model.

        Raises:
            ValueError: `realism` is out of range, or the planes are not of this model.
        """
        realism = self.realism if realism is None else realism
        if not 0 <= realism <= 1:
            raise ValueError(f"realism {realism} is not between 0 and 1")
        if realism > self.most_realism:
            raise ValueError("this model has one generator, and no other realism than 0")
        planes.check(self.config)

        def latents(grid: int, box: Box) -> np.ndarray:
            return self._latents_of(planes, grid, box)

        told = replace(planes, rate=self.fitting_rate(planes))
        for top, left, picture in self.networks.synthesise(latents, told, realism, still(planes)):
            yield top, left, to_pixels(picture)

    def flat(self, planes: Planes) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield the base of planes in parts: its colours, each over the square that it is the mean of."""
        assert planes.base is not None  # only models with a base come here
        assert planes.steps is not None
        step = self.config.downsampling
        for row, line in enumerate(base_colours(planes.base, planes.steps)):
            square = np.broadcast_to(line[None, :, None], (step, len(line), step, 3))
            yield step * row, 0, square.reshape(step, -1, 3)

    def render_latents(
        self, latents: dict[int, np.ndarray], planes: Planes, realism: float | None = None
    ) -> np.ndarray:
        """Render latents over the base of planes to a picture (f h, f w, 3) float32, about [-1, 1].

        Args:
            latents: by downsampling, (h, w, D).
            planes: base and rate; their layers do not matter.
            realism: see `rendered`.
        """
        step = self.config.downsampling
        rows, columns = latents[step].shape[:2]
        out = np.empty((step * rows, step * columns, 3), np.float32)
        weight = self.realism if realism is None else realism

        def part_of(grid: int, box: Box) -> np.ndarray:
            return latents[grid][box.slices]

        for top, left, part in self.networks.synthesise(part_of, planes, weight, None):
            out[top : top + part.shape[0], left : left + part.shape[1]] = part / 127.5
        return out

    def fitting_rate(self, planes: Planes) -> int:
        """The rate that the generator is told, for planes that may lack layers.

        At a high rate the generator expects the corrections of late layers. Without them, the picture is like one of
        a lower rate: the highest at which positions would seldom go on to a missing layer.
        """
        # Of every part of the dial, the largest share of positions that would go on to any missing layer.
        wanted = np.zeros(RATE_BINS)
        for layer in self.config.layers[len(planes.layers) :]:
            codebooks = self.codebooks[layer.band]
            assert isinstance(
                codebooks, BandCodebooks
            )  # models without a dial have one layer, and it is there
            reached = np.exp2(-codebooks.end_bits[: layer.stage + 1, :, 1])
            wanted = np.maximum(wanted, reached.prod(0))
        seldom = np.flatnonzero(wanted < _SELDOM)
        part = int(seldom[-1]) + 1 if len(seldom) else 0
        # A rate at which the encoder left out empty layers by itself stays as it is.
        return min(planes.rate, max(0, part * RATES // RATE_BINS - 1))

    def _latents_of(self, planes: Planes, grid: int, box: Box) -> np.ndarray:
        """Latents (h, w, D) of a box of positions at 1/grid: the sums of their codewords."""
        out = np.zeros((box.height, box.width, self.config.dims[grid]), np.float32)
        for band, codebooks in enumerate(self.codebooks):
            place, channels = self.config.place(band)
            if place != grid:
                continue
            indices = self._indices(planes, band, box)
            if indices is not None:
                out[..., channels] = codebooks.dequantize(indices).reshape(box.height, box.width, -1)
        return out

    def _indices(self, planes: Planes, band: int, box: Box) -> np.ndarray | None:
        """Indices (n, s) int64 of a band in a box of its positions; `None` if no layer of it is there."""
        found = [
            box.of(plane).ravel()
            for plane, layer in zip(planes.layers, self.config.layers, strict=False)
            if layer.band == band
        ]
        return np.stack(found, 1).astype(np.int64) if found else None
