"""What runs the networks of a model, whatever library computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import numpy as np

from vqcodec.geometry import Box
from vqcodec.planes import Planes

Part: TypeAlias = tuple[int, int, np.ndarray]
"""Top, left and values (h, w, C) float32 of a part of an output."""

LatentsOf: TypeAlias = Callable[[int, Box], np.ndarray]
"""Returns the latents (h, w, D) float32 of a box of positions at 1/f, given f and the box."""


class Networks(Protocol):
    """Encoder and generators of a model. They run over a picture part by part, in bounded memory."""

    def analyse(self, pixels: np.ndarray, planes: Planes) -> Iterator[tuple[int, Part]]:
        """Yield the latents of a picture in parts that cover them once: downsampling and part.

        Args:
            pixels: (H, W, 3) uint8.
            planes: base and rate of the picture, if the model has these.
        """
        ...

    def synthesise(
        self, latents: LatentsOf, planes: Planes, realism: float = 0.0, still: np.ndarray | None = None
    ) -> Iterator[Part]:
        """Yield a picture in parts that cover it once, its values about [-127.5, 127.5].

        Args:
            latents: of the picture.
            planes: base and rate of the picture, if the model has these; layers do not matter.
            realism: weight of the second generator, 0..1.
            still: (h, w) bool, positions at which the base is the picture; the generator is faded out towards them.
        """
        ...
