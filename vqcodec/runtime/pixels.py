"""Pixels and the base: network output to pixels, pixels to block means, and the base to colours."""

from __future__ import annotations

import numpy as np

from vqcodec.config import BLOCK, CHROMA
from vqcodec.geometry import Box

# Values that are converted at a time: they stay in the cache.
_AT_ONCE = 1 << 18


def to_pixels(picture: np.ndarray) -> np.ndarray:
    """Round values (h, w, 3) in [-127.5, 127.5] to uint8 pixels (h, w, 3). Values outside are clamped."""
    out = np.empty(picture.shape, np.uint8)
    rows = max(1, _AT_ONCE // (3 * picture.shape[1]))
    for top in range(0, len(picture), rows):
        part = picture[top : top + rows].clip(-127.5, 127.5)
        # The conversion truncates, so add 127.5 for the range and 0.5 for rounding.
        part += 128
        out[top : top + rows] = part
    return out


def block_means(pixels: np.ndarray) -> np.ndarray:
    """Means of 16x16 squares of pixels (H, W, 3) uint8 in YCoCg levels, (3, h, w) float32.

    The picture is continued by its edge to whole squares.
    """
    height, width = pixels.shape[:2]
    columns = -(-width // BLOCK)
    rows = []
    for top in range(0, height, BLOCK):
        part = pixels[top : top + BLOCK]
        part = np.pad(part, ((0, BLOCK - len(part)), (0, -width % BLOCK), (0, 0)), "edge")
        # Sums of 256 bytes are exact.
        sums = part.sum(0, dtype=np.uint32).reshape(columns, BLOCK, 3).sum(1)
        rows.append(sums.astype(np.float32) / BLOCK**2)
    red, green, blue = np.moveaxis(np.stack(rows), 2, 0)
    return np.stack([(red + 2 * green + blue) / 4, red - blue, green - (red + blue) / 2])


def levels_of(base: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """What a base (3, h, w) with steps (h, w) stands for in YCoCg: (3, h, w) float32, in levels."""
    factors = np.array([1, CHROMA, CHROMA], np.float32)[:, None, None]
    return base.astype(np.float32) * factors * steps.astype(np.float32)


def base_features(base: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """What the networks are told of a base (3, h, w) with steps (h, w), (4, h, w) float32.

    It is `vqcodec.model.base.Base.features`.
    """
    told = np.log2(steps.astype(np.float32)) / 4
    return np.concatenate([levels_of(base, steps) / np.float32(127.5), told[None]])


def picture_of(base: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The colours of a base (3, h, w) with steps (h, w): (h, w, 3) float32, in levels."""
    luma, orange, green = levels_of(base, steps)
    rest = luma - green / 2
    return np.stack([rest + orange / 2, luma + green / 2, rest - orange / 2], 2)


def base_colours(base: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The colours of a base (3, h, w) with steps (h, w) as pixels: (h, w, 3) uint8."""
    return to_pixels(picture_of(base, steps) - 127.5)


def enlarged_part(small: np.ndarray, box: Box, factor: int) -> np.ndarray:
    """A box of a picture (h, w, C) float32, enlarged bilinearly as the whole picture is: (factor h, factor w, C).

    It is what `vqcodec.model.base.enlarged` gives: slopes go on beyond the outer values.
    """
    rows = _between(small, box.top, box.bottom, factor, 0)
    return _between(rows, box.left, box.right, factor, 1)


def _between(picture: np.ndarray, first: int, end: int, factor: int, axis: int) -> np.ndarray:
    """Values between `first` and `end` of an axis, `factor` for each."""
    shares = (np.arange(factor, dtype=np.float32) + 0.5) / factor - 0.5
    most = picture.shape[axis] - 1
    # Values before the middle of a position lie between it and the one before. At the ends of the axis there is none,
    # and the slope on the other side holds.
    early, late = shares < 0, shares >= 0
    here = np.arange(first, end)
    own = picture.take(here, axis)
    slopes = [
        picture.take((start + 1).clip(0, most), axis) - picture.take(start, axis)
        for start in ((here - 1).clip(0, max(most - 1, 0)), here.clip(0, max(most - 1, 0)))
    ]
    own, *slopes = (np.expand_dims(values, axis + 1) for values in (own, *slopes))
    shape = [1] * (picture.ndim + 1)
    shape[axis + 1] = -1
    parts = [
        own + slope * shares[which].reshape(shape) for slope, which in zip(slopes, (early, late), strict=True)
    ]
    out = np.concatenate(parts, axis + 1)
    return out.reshape(*out.shape[:axis], factor * len(here), *out.shape[axis + 2 :])
