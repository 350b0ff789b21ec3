"""The order in which the positions of a stage are coded, and the neighbours that each pass looks at.

The positions of a stage come in passes, each in raster order. A pass depends on earlier passes only, so all
of its positions can be computed at once (checkerboard, He et al., CVPR 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Offset = tuple[int, int]


def _double(offsets: list[Offset]) -> list[Offset]:
    return [(2 * y, 2 * x) for y, x in offsets]


def _turned(offsets: list[Offset]) -> list[Offset]:
    """Rotate by 45 degrees and stretch by the square root of two."""
    return [(y - x, y + x) for y, x in offsets]


# Offsets (row, column) that the context model looks at, in the earlier stages ...
NEIGHBOURHOOD = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
CROSS = [(-1, 0), (0, -1), (0, 1), (1, 0)]
# ... and in its own stage, for each pass. Most stages have two passes.
AROUND = [[], CROSS]
BORDER = 1
# The first stage has five passes and looks further: at the four nearest, and a knight's move away.
NEAREST = [*CROSS, *((y, x) for y in (-2, -1, 1, 2) for x in (-2, -1, 1, 2) if abs(y) != abs(x))]
AROUND_FIRST = [[], _turned(_double(NEAREST)), _double(NEAREST), _turned(NEAREST), NEAREST]
BORDER_FIRST = 6


def checkerboard(rows: int, columns: int) -> list[Tensor]:
    """Return the positions of two passes, int64: even row + column, then odd."""
    odd = (torch.arange(rows)[:, None] + torch.arange(columns)) % 2
    return [(odd == which).flatten().nonzero().flatten() for which in (0, 1)]


def interlaced(rows: int, columns: int) -> list[Tensor]:
    """Return the positions of five passes, int64, from coarse to fine.

    The first pass is a grid of every fourth row and column, and the second its centres. The third completes
    the grid of every second row and column, the fourth adds the centres of that, and the fifth the rest.
    """
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    odd = (row + column) % 2
    number = torch.where(row % 2 == 1, 3, torch.where((row + column) % 4 == 2, 2, row % 4 // 2))
    number = torch.where(odd == 1, 4, number)
    return [(number == which).flatten().nonzero().flatten() for which in range(5)]


@dataclass
class Layout:
    """Positions of the passes over a stage, one entry per pass.

    Attributes:
        passes: positions in a tile.
        rows: the same, among all positions of all tiles.
        places: the same, among the positions of all tiles with their borders.
        around: offsets, in the numbering of `places`, from a position to those that it depends on.
    """

    passes: list[Tensor]
    rows: list[Tensor]
    places: list[Tensor]
    around: list[Tensor]

    @classmethod
    def of(
        cls, passes: list[Tensor], around: list[list[Offset]], border: int, tiles: tuple[int, int, int]
    ) -> Layout:
        """Build the layout of passes over `tiles` (count, rows, columns), each with a border around it."""
        count, rows, columns = tiles
        starts = rows * columns * torch.arange(count)[:, None]
        wide = count, rows + 2 * border, columns + 2 * border
        inside = torch.arange(math.prod(wide)).view(wide)[:, border:-border, border:-border].flatten(1)
        return cls(
            passes,
            [(starts + positions).flatten() for positions in passes],
            [inside[:, positions].flatten() for positions in passes],
            [torch.tensor([y * wide[2] + x for y, x in offsets]) for offsets in around],
        )


def patches(padded: Tensor, offsets: list[Offset], border: int) -> Tensor:
    """Shift bordered maps (T, h, w, E) by each offset and put the copies side by side.

    Returns:
        (T * h * w, len(offsets) * E), where h and w are without the border.
    """
    rows, columns = (side - 2 * border for side in padded.shape[1:3])
    shifted = [
        padded[:, border + y : border + y + rows, border + x : border + x + columns] for y, x in offsets
    ]
    return torch.cat(shifted, -1).flatten(0, 2)
