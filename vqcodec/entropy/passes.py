"""The order in which the positions of a layer are coded, and the positions that each pass looks at.

The positions of a layer come in passes, each in raster order. A pass depends on earlier passes only, so all of its
positions can be computed at once (checkerboard, He et al., CVPR 2021).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

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


def checkerboard(rows: int, columns: int) -> Tensor:
    """Return the number of the pass of each position, (rows, columns) int64: 0 for even row + column, else 1."""
    return (torch.arange(rows)[:, None] + torch.arange(columns)) % 2


def interlaced(rows: int, columns: int) -> Tensor:
    """Return the number of the pass of each position, (rows, columns) int64, in five passes from coarse to fine.

    The first pass is a grid of every fourth row and column, and the second its centres. The third completes
    the grid of every second row and column, the fourth adds the centres of that, and the fifth the rest.
    """
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    odd = (row + column) % 2
    number = torch.where(row % 2 == 1, 3, torch.where((row + column) % 4 == 2, 2, row % 4 // 2))
    return torch.where(odd == 1, 4, number)


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
        numbers = torch.arange(math.prod(self._wide)).view(self._wide)
        self.inside = numbers[:, BORDER:-BORDER, BORDER:-BORDER].flatten()

    def maps(self, channels: int, dtype: torch.dtype) -> Tensor:
        """Zeros at all positions and borders, (positions with borders, channels)."""
        return torch.zeros(math.prod(self._wide), channels, dtype=dtype)

    def without_borders(self, maps: Tensor) -> Tensor:
        """The positions of maps (positions with borders, E): (count, rows, columns, E), a view."""
        return maps.view(*self._wide, -1)[:, BORDER:-BORDER, BORDER:-BORDER]

    def passes(self, layer: int) -> Tensor:
        """The number of the pass over a layer that each position belongs to, (count * rows * columns,) int64."""
        count, rows, columns = self.shape
        number = checkerboard(rows, columns) if layer else interlaced(rows, columns)
        return number.flatten().repeat(count)

    def steps(self, offsets: list[Offset]) -> list[int]:
        """What offsets (row, column) add to the number of a position with borders."""
        return [y * self._wide[2] + x for y, x in offsets]

    def coarser(self) -> tuple[Tensor, Tensor]:
        """For a grid twice as fine: the position here and the place in its square of each position there.

        Returns:
            each (count * 2 rows * 2 columns,) int64.
        """
        count, rows, columns = self.shape
        row, column = torch.arange(2 * rows)[:, None], torch.arange(2 * columns)
        parent = row // 2 * columns + column // 2
        place = 2 * (row % 2) + column % 2
        starts = rows * columns * torch.arange(count)[:, None]
        return (starts + parent.flatten()).flatten(), place.flatten().repeat(count)


def gathered(maps: Tensor, places: Tensor, steps: list[int]) -> Tensor:
    """Put what maps (positions, E) hold at some steps from places (n,) side by side: (n, len(steps) * E)."""
    numbers = places[:, None] + torch.tensor(steps)
    if maps.dtype == torch.int8:
        # numpy copies whole rows at once; torch takes six times as long.
        return torch.from_numpy(_rows(maps).take(numbers.numpy()).view(np.int8))
    return maps.index_select(0, numbers.flatten()).view(len(places), len(steps) * maps.shape[1])


def scatter(maps: Tensor, places: Tensor, values: Tensor) -> None:
    """Set the rows `places` (n,) of maps (positions, E) int8 to values (n, E) int8, in place."""
    _rows(maps)[places.numpy()] = _rows(values)


def _rows(maps: Tensor) -> np.ndarray:
    """The rows of a contiguous tensor (n, E) int8 as n items of E bytes, without a copy."""
    return maps.numpy().view(np.dtype((np.void, maps.shape[1])))[:, 0]
