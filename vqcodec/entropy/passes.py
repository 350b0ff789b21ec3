"""The order in which the positions of a layer are coded, and the positions that each pass looks at.

The positions of a layer come in passes, each in raster order. A pass depends on earlier passes only, so all of its
positions can be computed at once (checkerboard, He et al., CVPR 2021).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

Offset = tuple[int, int]


def _double(offsets: list[Offset]) -> list[Offset]:
    return [(2 * y, 2 * x) for y, x in offsets]


def _turned(offsets: list[Offset]) -> list[Offset]:
    """Rotate by 45 degrees and stretch by the square root of two."""
    return [(y - x, y + x) for y, x in offsets]


# Offsets (row, column) that the context model looks at, in the earlier layers of the grid ...
NEIGHBOURHOOD = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
CROSS = [(-1, 0), (0, -1), (0, 1), (1, 0)]
# ... and in its own layer, for each pass. Most layers have two passes.
AROUND: list[list[Offset]] = [[], CROSS]
# The first layer has five passes and looks further: at the four nearest, and a knight's move away.
NEAREST = [*CROSS, *((y, x) for y in (-2, -1, 1, 2) for x in (-2, -1, 1, 2) if abs(y) != abs(x))]
AROUND_FIRST = [[], _turned(_double(NEAREST)), _double(NEAREST), _turned(NEAREST), NEAREST]
BORDER = 6
"""Positions around a tile that offsets reach into."""

# Of the square of the coarser grid that a position lies in, and of the three next to it: towards which rows and columns
# they lie, for each of the four places in the square.
PLACES = [(0, 0), (0, 1), (1, 0), (1, 1)]
COARSER = [[(0, 0), (2 * y - 1, 0), (0, 2 * x - 1), (2 * y - 1, 2 * x - 1)] for y, x in PLACES]


def around(layer: int) -> list[list[Offset]]:
    """Offsets that each pass over a layer looks at in the layer itself."""
    return AROUND if layer else AROUND_FIRST


def checkerboard(rows: int, columns: int) -> np.ndarray:
    """Return the number of the pass of each position, (rows, columns) int64: 0 for even row + column, else 1."""
    return (np.arange(rows)[:, None] + np.arange(columns)) % 2


def interlaced(rows: int, columns: int) -> np.ndarray:
    """Return the number of the pass of each position, (rows, columns) int64, in five passes from coarse to fine.

    The first pass is a grid of every fourth row and column, and the second its centres. The third completes
    the grid of every second row and column, the fourth adds the centres of that, and the fifth the rest.
    """
    row, column = np.arange(rows)[:, None], np.arange(columns)
    odd = (row + column) % 2
    number = np.where(row % 2 == 1, 3, np.where((row + column) % 4 == 2, 2, row % 4 // 2))
    return np.where(odd == 1, 4, number)


class Grid:
    """Tiles of one size side by side, each with a border, and the numbers of their positions.

    Args:
        count, rows, columns: number and size of the tiles, in positions.

    Attributes:
        shape: count, rows, columns.
        inside: (count * rows * columns,) int64, number of each position among those with borders.
    """

    def __init__(self, count: int, rows: int, columns: int) -> None:
        self.shape = count, rows, columns
        self._wide = count, rows + 2 * BORDER, columns + 2 * BORDER
        numbers = np.arange(math.prod(self._wide)).reshape(self._wide)
        self.inside = numbers[:, BORDER:-BORDER, BORDER:-BORDER].ravel()

    def maps(self, channels: int, dtype: DTypeLike) -> np.ndarray:
        """Zeros at all positions and borders, (positions with borders, channels)."""
        return np.zeros((math.prod(self._wide), channels), dtype)

    def without_borders(self, maps: np.ndarray) -> np.ndarray:
        """The positions of maps (positions with borders, E): (count, rows, columns, E), a view."""
        return maps.reshape(*self._wide, -1)[:, BORDER:-BORDER, BORDER:-BORDER]

    def passes(self, layer: int) -> np.ndarray:
        """The number of the pass over a layer that each position belongs to, (count * rows * columns,) int64."""
        count, rows, columns = self.shape
        number = checkerboard(rows, columns) if layer else interlaced(rows, columns)
        return np.tile(number.ravel(), count)

    def steps(self, offsets: list[Offset]) -> np.ndarray:
        """What offsets (row, column) add to the number of a position with borders, int64."""
        return np.array([y * self._wide[2] + x for y, x in offsets], np.int64)

    def coarser(self) -> tuple[np.ndarray, np.ndarray]:
        """For a grid twice as fine: the position here and the place in its square of each position there.

        Returns:
            each (count * 2 rows * 2 columns,) int64.
        """
        count, rows, columns = self.shape
        row, column = np.arange(2 * rows)[:, None], np.arange(2 * columns)
        parent = row // 2 * columns + column // 2
        place = 2 * (row % 2) + column % 2
        starts = rows * columns * np.arange(count)[:, None]
        return (starts + parent.ravel()).ravel(), np.tile(place.ravel(), count)


def gathered(maps: np.ndarray, places: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Put what maps (positions, E) int8 hold at some steps from places (n,) side by side: (n, len(steps) * E)."""
    # numpy copies whole rows at once.
    return _rows(maps).take(places[:, None] + steps).view(np.int8)


def scatter(maps: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Set the rows `places` (n,) of maps (positions, E) int8 to values (n, E) int8, in place."""
    _rows(maps)[places] = _rows(values)


def _rows(maps: np.ndarray) -> np.ndarray:
    """The rows of a contiguous array (n, E) int8 as n items of E bytes, without a copy."""
    return maps.view(np.dtype((np.void, maps.shape[1])))[:, 0]
