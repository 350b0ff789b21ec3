"""One rectangle for everything: regions in pixels, tiles and strips in latent positions."""

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
    """A rectangle, in pixels or in latent positions; `right` and `bottom` are the first outside, as in Pillow."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def at(cls, left: int, top: int, width: int, height: int) -> Box:
        """The rectangle of a size, by its corner."""
        return cls(left, top, left + width, top + height)

    @classmethod
    def of_tile(cls, tile: Tile) -> Box:
        """The latent positions of a tile."""
        return cls.at(tile.left, tile.top, tile.columns, tile.rows)

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index the first two sides of an array with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def of(self, planes: Planes) -> Planes:
        """A view of its part of an array (..., h, w)."""
        return planes[(..., *self.slices)]

    def clipped(self, other: Box) -> Box:
        """What both have in common; without width or height if that is nothing."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        return Box(
            left, top, max(min(self.right, other.right), left), max(min(self.bottom, other.bottom), top)
        )

    def grown(self, margin: int) -> Box:
        """Larger by a margin on every side."""
        return Box(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def scaled(self, factor: int) -> Box:
        """In units that are smaller by a factor: the pixels of latent positions."""
        return Box(factor * self.left, factor * self.top, factor * self.right, factor * self.bottom)

    def covering(self, factor: int) -> Box:
        """In units that are larger by a factor, as many as it takes: the latent positions of pixels."""
        return Box(
            self.left // factor, self.top // factor, -(-self.right // factor), -(-self.bottom // factor)
        )

    def relative_to(self, other: Box) -> Box:
        """The same rectangle, counted from another one's corner."""
        return Box(
            self.left - other.left, self.top - other.top, self.right - other.left, self.bottom - other.top
        )

    def is_inside(self, other: Box) -> bool:
        """Whether it has an area, and all of it is in the other."""
        across = other.left <= self.left < self.right <= other.right
        return across and other.top <= self.top < self.bottom <= other.bottom


def spans(length: int, largest: int) -> list[tuple[int, int]]:
    """Cut a length into the fewest parts of about equal size, none above the largest."""
    count = -(-length // largest)
    return list(pairwise([*(length * number // count for number in range(count)), length]))
