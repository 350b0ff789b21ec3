"""The order in which the values of a base are coded, and the values that each of them looks at.

A value looks at its plane to the left and above, and at the planes before at its own position. So all values whose row,
column and plane have one sum, a wave, can be computed at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

PLANES = 3


@dataclass(frozen=True)
class Waves:
    """The values of a base (3, rows, columns) in the order of the file, and their neighbours.

    All are named by their number in the flattened base. `PLANES` more numbers follow, for what the planes begin with.

    Attributes:
        bounds: (waves + 1,), where each wave begins in the arrays below, and where the last one ends.
        own: (n,), the value itself.
        planes: (n,), its plane.
        sides: (3, n), the values to the left, above, and above to the left. At the edges, what is there stands for
            what is not; at the first position, what the plane begins with.
        near: (2, n), the values to the left and above, or what the first plane begins with where there is none.
        before: (2, n), the values of the planes before at the same position, likewise.
    """

    bounds: np.ndarray
    own: np.ndarray
    planes: np.ndarray
    sides: np.ndarray
    near: np.ndarray
    before: np.ndarray


@lru_cache(maxsize=16)
def waves(rows: int, columns: int) -> Waves:
    """The waves of a base (3, rows, columns): within each, by plane, and from top to bottom."""
    plane, row, column = (axis.ravel() for axis in np.indices((PLANES, rows, columns)))
    number = plane + row + column
    own = np.argsort(number, kind="stable")
    number, plane, row, column = number[own], plane[own], row[own], column[own]
    size = rows * columns
    start = PLANES * size + plane
    west, north = own - 1, own - columns
    top, side = row == 0, column == 0
    sides = np.stack(
        [
            np.where(side, north, west),
            np.where(top, west, north),
            np.where(top, west, np.where(side, north, north - 1)),
        ]
    )
    nothing = PLANES * size
    return Waves(
        np.searchsorted(number, np.arange(number[-1] + 2)),
        own,
        plane,
        np.where(top & side, start, sides),
        np.stack([np.where(side, nothing, west), np.where(top, nothing, north)]),
        np.stack([np.where(plane > back, own - (back + 1) * size, nothing) for back in range(PLANES - 1)]),
    )
