"""A picture on its way to index planes, at one setting after another."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property

import numpy as np

from vqcodec.entropy.base import NEARLY_ALL, choose_steps, quantized
from vqcodec.entropy.packing import Packing
from vqcodec.errors import LossWarning, TargetError
from vqcodec.planes import Planes
from vqcodec.rate import LOWEST, TOLERANCE, Setting, search, setting_at
from vqcodec.runtime.pixels import block_means
from vqcodec.runtime.transform import PLAIN_STEP, PLAIN_TOLERANCE, Transform

# Positions along the edges of a tile of a file, which has one step of the base.
TILE = 64
# Mean bend of the colours of a row of squares, in levels, up to which it is worth looking whether the base shows it.
_STRAIGHT = 2.0
# Pieces of a picture that rates are estimated from, and their edges in pixels.
_PIECES, _EDGE = 6, 256


class Analysis:
    """A picture, and what was computed of it.

    Args:
        transform: networks and quantizers.
        packing: entropy coders of the same model.
        pixels: (H, W, 3) uint8.
        progress: called with the fraction done whenever the encoder runs, 0..1.
    """

    def __init__(
        self,
        transform: Transform,
        packing: Packing,
        pixels: np.ndarray,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._transform = transform
        self._packing = packing
        self._pixels = pixels
        self._progress = progress
        self._means = block_means(pixels) if transform.config.has_base else None
        # The last latents, and the planes with the rate and the base that they belong to.
        self._latents: tuple[Planes, dict[int, np.ndarray]] | None = None

    def planes(self, setting: Setting) -> Planes:
        """Base and index planes at a setting."""
        planes = self._base(setting)
        found = self._transform.quantize(self._latents_over(planes), planes, setting.lmbda)
        return self._transform.settle(self._pixels, found, PLAIN_TOLERANCE)

    def estimate(self, setting: Setting) -> float:
        """Bytes that planes at a setting take, by fixed frequencies of the indices."""
        planes = self._base(setting)
        found = self._transform.quantize(self._latents_over(planes), planes, setting.lmbda, beams=1)
        return (self._transform.bits(found) + self._packing.base_bits(found)) / 8

    def _base(self, setting: Setting) -> Planes:
        """Planes with a base and no layers."""
        if self._means is None or self._packing.base is None:
            return Planes([], setting.rate)
        base, steps = choose_steps(
            self._packing.base, self._means, setting.base_step, TILE, setting.base_budget, self._smooth
        )
        return Planes([], setting.rate, base, steps)

    @cached_property
    def _smooth(self) -> np.ndarray:
        """Positions (h, w) bool that a base in steps of one level shows as they are."""
        assert self._means is not None  # only models with a base come here
        base = quantized(self._means, PLAIN_STEP)
        planes = Planes([], 0, base, np.full(base.shape[1:], PLAIN_STEP, np.uint8))
        bends = np.abs(np.diff(self._means, 2, axis=2)).sum((0, 2)) / (3 * max(1, base.shape[2] - 2))
        rows = bends <= _STRAIGHT
        for top in range(0, len(rows), TILE):
            # A tile with more rows that bend is not nearly all smooth, whatever the others are.
            rows[top : top + TILE] &= rows[top : top + TILE].mean() >= NEARLY_ALL
        return self._transform.shown(self._pixels, planes, rows, PLAIN_TOLERANCE)

    def _latents_over(self, planes: Planes) -> dict[int, np.ndarray]:
        if self._latents is not None:
            before, latents = self._latents
            if planes.rate == before.rate and _equal(planes.base, before.base):
                return latents
        found = self._transform.latents(self._pixels, planes, self._progress)
        self._latents = planes, found
        return found


class Estimate:
    """Rates of a picture by those of some of its pieces.

    Args:
        transform, packing, pixels: as of `Analysis`.
    """

    def __init__(self, transform: Transform, packing: Packing, pixels: np.ndarray) -> None:
        pieces = list(_pieces(pixels))
        self._parts = [Analysis(transform, packing, piece) for piece in pieces]
        self._factor = pixels.size / sum(piece.size for piece in pieces)

    def bytes_at(self, setting: Setting) -> float:
        """Bytes that the whole picture takes at a setting, about."""
        return self._factor * sum(part.estimate(setting) for part in self._parts)


def fitted(
    transform: Transform,
    packing: Packing,
    pixels: np.ndarray,
    encode: Callable[[Setting], bytes],
    size: int,
) -> bytes:
    """The largest file of at most so many bytes. Warns with `LossWarning` if it is much smaller.

    Args:
        transform, packing, pixels: as of `Analysis`.
        encode: returns the file at a setting.
        size: bytes, 1 or more.

    Raises:
        vqcodec.errors.TargetError: even the smallest file is larger.
    """
    config = transform.config
    data = search(config, size, Estimate(transform, packing, pixels).bytes_at, encode)
    if data is None:
        least = len(encode(setting_at(config, LOWEST)))
        raise TargetError(f"{size} bytes cannot be reached: the smallest file takes {least}")
    if len(data) < (1 - TOLERANCE) * size:
        text = f"the largest file within {size} bytes takes {len(data)}"
        warnings.warn(text, LossWarning, stacklevel=3)
    return data


def _pieces(pixels: np.ndarray) -> list[np.ndarray]:
    """A few squares spread over a picture, or all of it if it is small."""
    height, width = pixels.shape[:2]
    if height * width <= _PIECES * _EDGE**2:
        return [pixels]
    rows, columns = (2, 3) if width >= height else (3, 2)
    tall, wide = min(_EDGE, height), min(_EDGE, width)
    return [
        pixels[top : top + tall, left : left + wide]
        for top in np.linspace(0, height - tall, 2 * rows + 1).astype(int)[1::2]
        for left in np.linspace(0, width - wide, 2 * columns + 1).astype(int)[1::2]
    ]


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
