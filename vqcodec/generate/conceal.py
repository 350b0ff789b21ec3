"""Tiles that are lost, made up from what is around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.generate.inpaint import fill, surrounded
from vqcodec.generate.prior import Prior
from vqcodec.geometry import Box

if TYPE_CHECKING:
    from vqcodec.entropy.excerpt import DamagedTile, Excerpt


def conceal(prior: Prior, excerpt: Excerpt) -> None:
    """Fill the damaged tiles of an excerpt in place, always in the same way; lost tiles that touch, together."""
    grid = Box(0, 0, excerpt.box.width, excerpt.box.height)
    boxes = {tile: tile.box.relative_to(excerpt.box).clipped(grid) for tile in excerpt.damaged}
    for group in _touching(excerpt.damaged):
        inside = [boxes[tile] for tile in group]
        hole = Box(
            min(box.left for box in inside),
            min(box.top for box in inside),
            max(box.right for box in inside),
            max(box.bottom for box in inside),
        )
        area = surrounded(hole, grid)
        part = area.of(excerpt.planes)
        mask, own = np.zeros(part.shape, bool), np.zeros(part.shape, bool)
        for tile, box in boxes.items():
            place = box.clipped(area).relative_to(area)
            place.of(mask)[tile.intact :] = True
            place.of(own)[tile.intact :] = tile in group
        before = part.copy()
        fill(prior, excerpt.planes, area, mask, 1.0, np.random.default_rng(0))
        # The area may reach into tiles of other groups.
        np.copyto(part, before, where=mask & ~own)


def _touching(tiles: Sequence[DamagedTile]) -> Iterator[set[DamagedTile]]:
    """Groups of tiles that have lost their first stage and are connected by edges or corners; all others alone."""
    left = {tile.place: tile for tile in tiles if not tile.intact}
    yield from ({tile} for tile in tiles if tile.intact)
    while left:
        group, reached = set(), [next(iter(left))]
        while reached:
            row, column = place = reached.pop()
            if place in left:
                group.add(left.pop(place))
                reached += [(row + down, column + over) for down in (-1, 0, 1) for over in (-1, 0, 1)]
        yield group
