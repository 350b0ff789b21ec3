"""Error concealment: fill in lost tiles from their surroundings."""

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
    """Fill the damaged tiles of an excerpt in place. The result is always the same.

    Tiles that have lost all their stages and touch each other are filled together.

    Args:
        prior: of the model.
        excerpt: what `read_damaged` returned.

    Raises:
        vqcodec.errors.ModelError: no surroundings are known, and the model has no context model.
    """
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
        part = excerpt.planes.part(area)
        mask = np.zeros((part.stages, *part.grid), bool)
        foreign = np.zeros(part.grid, bool)
        for tile, box in boxes.items():
            place = box.clipped(area).relative_to(area)
            place.of(mask)[tile.intact :] = True
            place.of(foreign)[:] |= tile not in group
        before = part.copy()
        fill(prior, excerpt.planes, area, mask, 1.0, np.random.default_rng(0))
        # The area may reach into tiles of other groups. Restore those.
        part.restore(before, foreign)


def _touching(tiles: Sequence[DamagedTile]) -> Iterator[set[DamagedTile]]:
    """Yield groups of tiles to fill together.

    Tiles that have lost their first stage form groups connected by edges or corners. All others are alone.
    """
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
