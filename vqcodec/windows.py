"""Networks over pictures of any size: window by window, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Windowed(Protocol):
    """What a model says of the windows that it may be run in, in latent positions.

    Attributes:
        window_area: largest area that the networks see at once, without the halo; at least (4 * halo)**2.
        halo: positions around a window that its output depends on.
        blends: whether the output depends on the whole window (attention, normalisation over the picture), so
            that neighbouring windows never agree and are cross-faded over twice the halo.
    """

    window_area: int
    halo: int
    blends: bool


class Box(NamedTuple):
    """A rectangle of latent positions; `bottom` and `right` are the first outside."""

    top: int
    bottom: int
    left: int
    right: int


def stitch(
    compute: Callable[[Box], Tensor], rows: int, columns: int, model: Windowed, step: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Run a network window by window over a latent grid and put its outputs together.

    Args:
        compute: maps a box of the grid to (1, C, step * height, step * width).
        rows, columns: size of the grid.
        model: its window rules.
        step: output positions per latent position.

    Yields:
        top, left and values (height, width, C) of finished parts, which cover the output once.
    """
    width = min(columns, max(int(model.window_area**0.5), model.window_area // max(rows, 1)))
    height = min(rows, model.window_area // width)
    across = _spans(columns, width)
    carried = None
    for top, bottom in _spans(rows, height):
        upper, lower = max(top - model.halo, 0), min(bottom + model.halo, rows)
        band = None
        for left, right in across:
            box = Box(upper, lower, max(left - model.halo, 0), min(right + model.halo, columns))
            maps = compute(box)[0].permute(1, 2, 0)
            if not model.blends:
                down, over = step * (top - upper), step * (left - box.left)
                inside = maps[down : down + step * (bottom - top), over : over + step * (right - left)]
                yield step * top, step * left, inside
                continue
            if band is None:
                band = maps.new_zeros(len(maps), step * columns, maps.shape[2])
            weights = _fade(box.left, left, right, box.right, step).to(maps)
            band[:, step * box.left : step * box.right] += maps * weights[:, None]
        if band is not None:
            band *= _fade(upper, top, bottom, lower, step).to(band)[:, None, None]
            if carried is not None:
                band[: len(carried)] += carried
            # Rows that the next windows share are finished by them.
            finished = len(band) if bottom == rows else step * (bottom - model.halo - upper)
            carried = band[finished:]
            yield step * upper, 0, band[:finished]


def _spans(length: int, largest: int) -> list[tuple[int, int]]:
    """Cut a length into the fewest parts of about equal size, none above the largest."""
    count = -(-length // largest)
    return list(pairwise(length * number // count for number in range(count + 1)))


def _fade(start: int, inner_start: int, inner_end: int, end: int, step: int) -> Tensor:
    """Weights of one window along one axis, `start` to `end`; with those of its neighbours they sum to 1.

    They fall from 1 to 0 over the zone shared with a neighbour, whose middle is the inner edge. At an edge of
    the picture there is no neighbour and no zone.
    """
    positions = torch.arange(step * start, step * end, dtype=torch.float32) + 0.5
    weights = torch.ones_like(positions)
    if inner_start > start:
        weights *= ((positions - step * start) / (2 * step * (inner_start - start))).clamp(max=1)
    if end > inner_end:
        weights *= ((step * end - positions) / (2 * step * (end - inner_end))).clamp(max=1)
    return weights
