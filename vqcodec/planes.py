"""What an encoder makes of a picture: planes of whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.geometry import Box

if TYPE_CHECKING:
    from vqcodec.config import Shape

RATES = 256
"""Points of the rate dial that files can name."""


@dataclass(eq=False)
class Planes:
    """The coded base and the codebook indices of a picture, or of a part of one.

    Positions are those of the grid of the model, f pixels apart (`config.downsampling`). A layer of scale 2 has 2x2
    indices at every position.

    Attributes:
        layers: one for each of the first layers of the model, (scale * h, scale * w) integers.
        rate: point of the rate dial that they were chosen for, 0..255; 0 if the model has no dial.
        base: (3, h, w) int16, block means in YCoCg as multiples of the step; `None` if the model has no base.
        steps: (h, w) uint8, step of the luma of the base at each position in levels, the same within a tile of a file;
            chroma has `vqcodec.config.CHROMA` times that. `None` if the model has no base.
    """

    layers: list[np.ndarray]
    rate: int = 0
    base: np.ndarray | None = None
    steps: np.ndarray | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of positions."""
        plane = self.layers[0] if self.base is None else self.base[0]
        return plane.shape[0], plane.shape[1]

    @property
    def stages(self) -> int:
        """Number of coded stages that are there: the base and the layers."""
        return (self.base is not None) + len(self.layers)

    def scale(self, layer: int) -> int:
        """Positions of a layer along each side of a position of the grid."""
        return self.layers[layer].shape[0] // self.grid[0]

    @property
    def point(self) -> float:
        """Point of the rate dial, 0..1."""
        return self.rate / (RATES - 1)

    def on_layer(self, layer: int, where: np.ndarray) -> np.ndarray:
        """Values of the grid, (h, w), at all positions of a layer."""
        scale = self.scale(layer)
        return where.repeat(scale, 0).repeat(scale, 1)

    def trimmed(self) -> Planes:
        """The same without final layers that add nothing anywhere."""
        used = [number for number, plane in enumerate(self.layers) if plane.any()]
        return replace(self, layers=self.layers[: used[-1] + 1 if used else 0])

    def part(self, box: Box) -> Planes:
        """The planes of a box, as views."""
        layers = [box.scaled(self.scale(number)).of(plane) for number, plane in enumerate(self.layers)]
        if self.base is None or self.steps is None:
            return replace(self, layers=layers)
        return replace(self, layers=layers, base=box.of(self.base), steps=box.of(self.steps))

    def copy(self) -> Planes:
        """A copy that shares no memory."""
        base, steps = (None if part is None else part.copy() for part in (self.base, self.steps))
        return replace(self, layers=[plane.copy() for plane in self.layers], base=base, steps=steps)

    def put(self, box: Box, part: Planes) -> None:
        """Copy the planes of a part to a box; layers that the part does not have stay."""
        if self.base is not None and self.steps is not None:
            box.of(self.base)[:] = part.base
            box.of(self.steps)[:] = part.steps
        for number, plane in enumerate(part.layers):
            box.scaled(self.scale(number)).of(self.layers[number])[:] = plane

    def restore(self, before: Planes, where: np.ndarray) -> None:
        """Set positions of the grid, (h, w) bool, to what they were before."""
        if self.base is not None and self.steps is not None:
            assert before.base is not None  # of the same model
            assert before.steps is not None
            np.copyto(self.base, before.base, where=where)
            np.copyto(self.steps, before.steps, where=where)
        for number, plane in enumerate(self.layers):
            np.copyto(plane, before.layers[number], where=self.on_layer(number, where))

    def check(self, config: Shape) -> None:
        """Check that the planes are of a model.

        Raises:
            ValueError: the number, the shape or the range of planes is not that of the model, or an index other than 0
                stands where its position has ended.
        """
        if (self.base is None) == config.has_base or (self.base is None) != (self.steps is None):
            raise ValueError("the planes have a base and the model has none, or the other way round")
        if not 0 < self.stages <= config.stages:
            raise ValueError(f"{self.stages} stages, but the model has {config.stages}")
        if not 0 <= self.rate < RATES:
            raise ValueError(f"rate {self.rate} is not between 0 and {RATES - 1}")
        rows, columns = self.grid
        if self.base is not None and self.steps is not None:
            if self.base.shape != (3, rows, columns) or self.steps.shape != (rows, columns):
                raise ValueError(f"a base of shape {self.base.shape} with steps of {self.steps.shape}")
            if self.steps.size and self.steps.min() < 1:
                raise ValueError("a step of the base is below 1")
        for plane, layer in zip(self.layers, config.layers, strict=False):
            if plane.shape != (layer.scale * rows, layer.scale * columns):
                raise ValueError(f"a layer of shape {plane.shape} on {rows}x{columns} positions")
            if plane.size and not 0 <= plane.min() <= plane.max() < layer.codebook_size:
                raise ValueError(f"an index is outside 0 to {layer.codebook_size - 1}")
        last: dict[int, np.ndarray] = {}
        for plane, layer in zip(self.layers, config.layers, strict=False):
            if layer.ends and layer.band in last and plane[last[layer.band] == 0].any():
                raise ValueError("an index other than 0 stands where its position has ended")
            last[layer.band] = plane

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Planes):
            return NotImplemented
        same = self.rate == other.rate and len(self.layers) == len(other.layers)
        pairs = zip(
            [self.base, self.steps, *self.layers], [other.base, other.steps, *other.layers], strict=False
        )
        return same and all(
            a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs
        )

    @classmethod
    def empty(cls, grid: tuple[int, int], scales: Sequence[int], has_base: bool, rate: int = 0) -> Planes:
        """Planes of index 0 and a grey base of step 1.

        Args:
            grid: rows and columns of positions.
            scales: of the layers.
            has_base: whether there is a base.
            rate: point of the dial, 0..255.
        """
        rows, columns = grid
        layers = [np.zeros((scale * rows, scale * columns), np.uint16) for scale in scales]
        if not has_base:
            return cls(layers, rate)
        base = np.zeros((3, rows, columns), np.int16)
        base[0] = 128
        return cls(layers, rate, base, np.ones((rows, columns), np.uint8))
