"""What the context model is told of the base."""

from __future__ import annotations

import numpy as np

from vqcodec.config import CHROMA
from vqcodec.entropy.passes import CROSS, NEIGHBOURHOOD

LUMA = [offset for offset in NEIGHBOURHOOD if offset != (0, 0)]
# Eight per doubling of the step.
_OF_STEP = np.array([8 * step.bit_length() for step in range(256)], np.int8)
CHANNELS = 2 + len(LUMA) + 2 * len(CROSS)


def base_features(base: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Luma and step of each position, and differences of luma and chroma to its neighbours.

    Args:
        base: (N, 3, h, w) integers, as multiples of the steps.
        steps: (N,) or (N, h, w) integers, 1 to 255.

    Returns:
        (N, h, w, CHANNELS) int8.
    """
    factors = np.array([1, CHROMA, CHROMA], np.int32)[:, None, None]
    if steps.ndim == 1:
        steps = steps[:, None, None]
    levels = base.astype(np.int32) * factors * steps.astype(np.int32)[:, None]
    count, _, rows, columns = levels.shape
    found = np.empty((count, rows, columns, CHANNELS), np.int8)
    found[..., 0] = np.clip(levels[:, 0] - 128, -127, 127)
    found[..., 1] = _OF_STEP[steps]
    padded = np.pad(levels, ((0, 0), (0, 0), (1, 1), (1, 1)), "edge")
    channel = 2
    for plane, offsets in enumerate((LUMA, CROSS, CROSS)):
        for y, x in offsets:
            beside = padded[:, plane, 1 + y : 1 + y + rows, 1 + x : 1 + x + columns]
            found[..., channel] = _compressed(beside - levels[:, plane])
            channel += 1
    return found


def _compressed(values: np.ndarray) -> np.ndarray:
    """Differences of levels in -127..127, small ones resolved best."""
    size = np.abs(values)
    size = np.where(size <= 8, 4 * size, np.where(size <= 40, 16 + 2 * size, 86 + size // 4))
    return np.sign(values) * np.minimum(size, 127)
