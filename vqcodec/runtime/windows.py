"""Run the networks of a `TamingVQGAN` over pictures of any size, window by window, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec import forks
from vqcodec.geometry import Box, spans
from vqcodec.model import TamingVQGAN
from vqcodec.planes import Planes
from vqcodec.runtime.networks import LatentsOf, Part


class Windows:
    """Runs encoder and generator of a `TamingVQGAN`, whose outputs depend on the whole input.

    Args:
        model: the network, on its device. It is not changed.

    Attributes:
        area: largest area of a window, in latent positions, without the halo.
        halo: latent positions added around each window.
    """

    def __init__(self, model: TamingVQGAN) -> None:
        self.model = model
        self.area = 768 * 512 // model.config.downsampling**2
        self.halo = model.config.halo
        self._born = forks.generation()

    def analyse(self, pixels: np.ndarray, planes: Planes) -> Iterator[tuple[int, Part]]:
        """See `Networks.analyse`."""
        step = self.model.config.downsampling
        rows, columns = -(-pixels.shape[0] // step), -(-pixels.shape[1] // step)

        def compute(box: Box) -> Tensor:
            part = pixels[box.scaled(step).slices]
            picture = torch.from_numpy(part.copy()).to(self._device).permute(2, 0, 1)[None]
            picture = picture.float() / 127.5 - 1
            below, right = -part.shape[0] % step, -part.shape[1] % step
            return self.model.analyse(F.pad(picture, (0, right, 0, below), mode="replicate"))

        for part in self._stitched(compute, rows, columns, 1):
            yield step, part

    def synthesise(
        self, latents: LatentsOf, planes: Planes, realism: float = 0.0, still: np.ndarray | None = None
    ) -> Iterator[Part]:
        """See `Networks.synthesise`."""
        step = self.model.config.downsampling

        def compute(box: Box) -> Tensor:
            given = torch.from_numpy(latents(step, box)).to(self._device)
            return 127.5 * self.model.synthesise(given.permute(2, 0, 1)[None])

        yield from self._stitched(compute, *planes.grid, step)

    @property
    def _device(self) -> torch.device:
        return self.model.latent_rms.device

    @torch.inference_mode()
    def _stitched(
        self, compute: Callable[[Box], Tensor], rows: int, columns: int, step: int
    ) -> Iterator[Part]:
        forks.settle(self._device, self._born)

        def computed(box: Box) -> Tensor:
            with forks.operation:
                return compute(box)

        for top, left, part in stitch(computed, rows, columns, self.area, self.halo, step):
            yield top, left, part.cpu().numpy()


def stitch(
    compute: Callable[[Box], Tensor], rows: int, columns: int, area: int, halo: int, step: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Run a network window by window over a latent grid and cross-fade its outputs.

    Args:
        compute: maps a box of the grid to (1, C, step * height, step * width).
        rows, columns: size of the grid.
        area: largest area of a window without the halo; at least (4 * halo)**2.
        halo: positions added around a window. Two neighbours are cross-faded over twice as many.
        step: output positions per latent position along each side.

    Yields:
        top, left and values (h, w, C) of finished parts, which cover the output once.
    """
    width = min(columns, max(int(area**0.5), area // max(rows, 1)))
    height = min(rows, area // width)
    across = spans(columns, width)
    carried = None
    for top, bottom in spans(rows, height):
        upper, lower = max(top - halo, 0), min(bottom + halo, rows)
        band = None
        for left, right in across:
            box = Box(max(left - halo, 0), upper, min(right + halo, columns), lower)
            maps = compute(box)[0].permute(1, 2, 0)
            if band is None:
                band = maps.new_zeros(len(maps), step * columns, maps.shape[2])
            weights = _fade(box.left, left, right, box.right, step).to(maps)
            band[:, step * box.left : step * box.right] += maps * weights[:, None]
        assert band is not None  # a grid has columns
        band *= _fade(upper, top, bottom, lower, step).to(band)[:, None, None]
        if carried is not None:
            band[: len(carried)] += carried
        # The windows below finish the rows that they share with these.
        finished = len(band) if bottom == rows else step * (bottom - halo - upper)
        carried = band[finished:]
        yield step * upper, 0, band[:finished]


def _fade(start: int, inner_start: int, inner_end: int, end: int, step: int) -> Tensor:
    """Return the weights of one window along one axis, from `start` to `end`.

    The weights of a window and its neighbours sum to 1. They fall from 1 to 0 over the zone shared with a
    neighbour, which is centred on the inner edge. At an edge of the picture there is no neighbour and no such
    zone.
    """
    positions = torch.arange(step * start, step * end, dtype=torch.float32) + 0.5
    weights = torch.ones_like(positions)
    if inner_start > start:
        weights *= ((positions - step * start) / (2 * step * (inner_start - start))).clamp(max=1)
    if end > inner_end:
        weights *= ((step * end - positions) / (2 * step * (end - inner_end))).clamp(max=1)
    return weights
