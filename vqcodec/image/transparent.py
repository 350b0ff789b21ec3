"""Colours for invisible pixels, so that those beside them keep theirs and plain areas stay cheap."""

from __future__ import annotations

import numpy as np

# Pixels at a time, so that a large picture is never in memory twice.
_STRIP = 1 << 20
# Sum of alpha below which colours count for less than those around them.
_FAINT = np.float32(16)
# Level of the pyramid, of squares of 16x16 pixels, whose squares beside visible ones are near to them.
_NEAR = 3


def is_opaque(alpha: np.ndarray) -> bool:
    """Return whether an alpha plane (height, width) uint8 is 255 everywhere."""
    return alpha.size == 0 or int(alpha.min()) == 255


def fill(pixels: np.ndarray, alpha: np.ndarray) -> None:
    """Give invisible pixels, those with alpha 0, colours that run smoothly on from the visible ones, in place.

    Whatever colour they had would spread over the edge of the visible part, because the codec codes blocks.
    The colours come from a pyramid of means weighted by alpha. Between 8 and 40 pixels away they turn to white
    or black, whichever is nearer to the picture: plain areas of these are the cheapest.

    Args:
        pixels: (height, width, 3) uint8, writable.
        alpha: (height, width) uint8.
    """
    if alpha.min() > 0:
        return
    if alpha.max() == 0:
        pixels[:] = 255
        return
    levels = [_first_level(pixels, alpha)]
    while levels[-1][1].size > 1:
        levels.append((_sums(levels[-1][0]), _sums(levels[-1][1])))
    total, weight = levels.pop()
    colours = total / weight[..., None]
    far = 255 if colours.mean() > 127 else 0
    while levels:
        total, weight = levels.pop()
        finer = _doubled(colours)[: weight.shape[0], : weight.shape[1]]
        colours = (total + _FAINT * finer) / (weight + _FAINT)[..., None]
        if len(levels) == _NEAR:
            colours[~_grown(weight > 0)] = far
    # Squares of 2x2 pixels are small enough to be plain.
    plain = np.rint(colours, out=colours).astype(np.uint8)
    rows = max(1, _STRIP // alpha.shape[1])
    for top in range(0, len(alpha), 2 * rows):
        hidden = alpha[top : top + 2 * rows] == 0
        if hidden.any():
            squares = plain[top // 2 : top // 2 + rows].repeat(2, 0).repeat(2, 1)
            part = pixels[top : top + 2 * rows]
            np.copyto(part, squares[: len(part), : part.shape[1]], where=hidden[..., None])


def _first_level(pixels: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of colour times alpha (h, w, 3) and of alpha (h, w), float32, over squares of 2x2 pixels."""
    rows = 2 * max(1, _STRIP // alpha.shape[1])
    totals, weights = [], []
    for top in range(0, len(alpha), rows):
        weight = alpha[top : top + rows].astype(np.uint16)
        # 255 * 255 fits, and its sums are exact in float32.
        totals.append(_sums(pixels[top : top + rows] * weight[..., None], np.float32))
        weights.append(_sums(weight, np.float32))
    return np.concatenate(totals), np.concatenate(weights)


def _sums(values: np.ndarray, dtype: type | None = None) -> np.ndarray:
    """Return the sums of squares of 2x2 values (H, W, ...); beyond the edge are zeros."""
    below, right = values.shape[0] % 2, values.shape[1] % 2
    if below or right:
        values = np.pad(values, ((0, below), (0, right)) + ((0, 0),) * (values.ndim - 2))
    values = np.add(values[::2], values[1::2], dtype=dtype)
    return values[:, ::2] + values[:, 1::2]


def _grown(mask: np.ndarray) -> np.ndarray:
    """Return a mask (H, W) with the eight neighbours of each position in it."""
    for axis in (0, 1):
        mask = np.moveaxis(mask, axis, 0)
        out = mask.copy()
        out[1:] |= mask[:-1]
        out[:-1] |= mask[1:]
        mask = np.moveaxis(out, 0, axis)
    return mask


def _doubled(values: np.ndarray) -> np.ndarray:
    """Return values (H, W, 3) at twice the resolution, interpolated linearly."""
    for axis in (0, 1):
        height, width = values.shape[:2]
        out = np.empty((height, 2, width, 3) if axis == 0 else (height, width, 2, 3), np.float32)
        first, second = (out[:, 0], out[:, 1]) if axis == 0 else (out[:, :, 0], out[:, :, 1])
        np.multiply(values, 0.75, out=first)
        second[:] = first
        far = 0.25 * values
        if axis == 0:
            first[1:] += far[:-1]
            first[:1] += far[:1]
            second[:-1] += far[1:]
            second[-1:] += far[-1:]
        else:
            first[:, 1:] += far[:, :-1]
            first[:, :1] += far[:, :1]
            second[:, :-1] += far[:, 1:]
            second[:, -1:] += far[:, -1:]
        values = out.reshape((1 + (axis == 0)) * height, (1 + axis) * width, 3)
    return values
