"""Rectangles: regions in pixels, tiles and strips in latent positions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from bitstream import Tile

Planes = TypeVar("Planes", "np.ndarray", "Tensor")


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels or in latent positions.

    As in Pillow, `right` and `bottom` are exclusive.
    """

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def at(cls, left: int, top: int, width: int, height: int) -> Box:
        """Build a box from its top left corner and its size."""
        return cls(left, top, left + width, top + height)

    @classmethod
    def of_tile(cls, tile: Tile) -> Box:
        """Return the latent positions of a tile."""
        return cls.at(tile.left, tile.top, tile.columns, tile.rows)

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices, to index the first two axes of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def of(self, planes: Planes) -> Planes:
        """Return a view of this box in an array (..., h, w)."""
        rows, columns = self.slices
        return planes[..., rows, columns]

    def clipped(self, other: Box) -> Box:
        """Return the intersection with another box. It has no width or no height if there is none."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        return Box(
            left, top, max(min(self.right, other.right), left), max(min(self.bottom, other.bottom), top)
        )

    def grown(self, margin: int) -> Box:
        """Return the box extended by a margin on every side."""
        return Box(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def scaled(self, factor: int) -> Box:
        """Convert to units that are smaller by a factor: from latent positions to pixels."""
        return Box(factor * self.left, factor * self.top, factor * self.right, factor * self.bottom)

    def covering(self, factor: int) -> Box:
        """Convert to units that are larger by a factor, rounding outwards: from pixels to positions."""
        return Box(
            self.left // factor, self.top // factor, -(-self.right // factor), -(-self.bottom // factor)
        )

    def relative_to(self, other: Box) -> Box:
        """Return the same rectangle relative to the top left corner of another box."""
        return Box(
            self.left - other.left, self.top - other.top, self.right - other.left, self.bottom - other.top
        )

    def is_inside(self, other: Box) -> bool:
        """Return whether the box has an area and lies entirely inside another box."""
        across = other.left <= self.left < self.right <= other.right
        return across and other.top <= self.top < self.bottom <= other.bottom


def spans(length: int, largest: int) -> list[tuple[int, int]]:
    """Split a length into the fewest parts of about equal size, none longer than `largest`."""
    count = -(-length // largest)
    return list(pairwise([*(length * number // count for number in range(count)), length]))
