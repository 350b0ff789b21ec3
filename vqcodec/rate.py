"""Rate control: map quality to lambda, the Lagrange multiplier of the rate, and search for a file size."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import numpy as np

DEFAULT_QUALITY = 50

# Lambda in squared latent units per bit, at quality 0 and at quality 100. Below 0.08, more bits hardly
# improve the picture: of 20 validation photographs, up to three then have a larger error than one step
# before.
LARGEST_LMBDA = 1.7
SMALLEST_LMBDA = 0.1
# At this lambda a bit costs more than any codeword can gain, which gives the smallest file.
HIGHEST_LMBDA = 1e6

# A size counts as reached if the file is at most this fraction smaller than requested.
TOLERANCE = 0.03
# The search stays in this range of lambda before it tries 0 and HIGHEST_LMBDA.
_RANGE = (1e-2, 2e1)
_ESTIMATES = 9
# Files shrink faster with lambda than the estimate says: the fewer the codewords, the better the context
# model predicts them.
_STEEPER = 0.15
_MOST_STEPS = 24


def lmbda_of(quality: float) -> float:
    """Return lambda, in squared latent units per bit, for a quality of 0..100.

    A higher quality gives a better picture and a larger file.

    Raises:
        ValueError: quality is outside 0..100.
    """
    if not isinstance(quality, Real):
        raise ValueError(f"quality {quality!r} is not a number between 0 and 100")
    if not 0 <= quality <= 100:
        raise ValueError(f"quality {quality} is not between 0 and 100")
    return LARGEST_LMBDA * (SMALLEST_LMBDA / LARGEST_LMBDA) ** (quality / 100)


def most_bytes(bpp: float | None, size: int | None, pixels: int) -> int | None:
    """Return the number of bytes that a file may have, or `None` without a limit.

    Args:
        bpp: maximum bits per pixel, above 0, or `None`.
        size: maximum number of bytes, 1 or more, or `None`.
        pixels: number of pixels.

    Raises:
        ValueError: `bpp` or `size` is out of range, or both are given.
    """
    if bpp is not None and size is not None:
        raise ValueError("bpp and size exclude each other")
    if bpp is not None:
        if not (isinstance(bpp, Real) and 0 < bpp < math.inf):
            raise ValueError(f"bpp {bpp!r} is not a number above 0")
        return max(1, int(bpp * pixels / 8))
    if size is not None and not (isinstance(size, Real) and size >= 1 and size % 1 == 0):
        raise ValueError(f"size {size!r} is not a whole number of bytes, 1 or more")
    return None if size is None else int(size)


def search(target: int, estimate: Callable[[float], float], encode: Callable[[float], bytes]) -> bytes | None:
    """Find the largest file of at most `target` bytes that any lambda gives.

    `estimate` tells how the size falls with lambda, and the files encoded so far correct it. The search
    usually encodes two or three files.

    Args:
        target: maximum number of bytes.
        estimate: returns the approximate number of bytes at a lambda.
        encode: returns the file at a lambda.

    Returns:
        the file, or `None` if even `HIGHEST_LMBDA` gives a larger one. The file is smaller than `target` by
        at most the fraction `TOLERANCE`, unless no lambda comes that close or even lambda 0 gives less.
    """
    aim = math.log((1 - TOLERANCE / 2) * target)
    lowest, highest = np.log(_RANGE)
    places = np.linspace(lowest, highest, _ESTIMATES)
    # The curve is the log of the bytes at each log lambda. It always falls, so it can be inverted.
    curve = np.log([max(estimate(math.exp(place)), 1.0) for place in places])
    curve = np.minimum.accumulate(curve) - _STEEPER * places
    least, most = places[0], places[-1]

    def where(size: float) -> float:
        return float(np.interp(-size, -curve, places))

    # Log lambda and log bytes of the nearest file above the target, and of the nearest one below it.
    over: tuple[float, float] | None = None
    under: tuple[float, float] | None = None
    best = None
    place = where(aim)
    for _ in range(_MOST_STEPS):
        data = encode(math.exp(place))
        point = place, math.log(len(data))
        if len(data) > target:
            over = point
        else:
            under, best = point, data
            if len(data) >= (1 - TOLERANCE) * target:
                return best
        if place == least and not over:
            break
        if place == most and not under:
            best = encode(HIGHEST_LMBDA)
            if len(best) > target:
                return None
            under = math.log(HIGHEST_LMBDA), math.log(len(best))
        place = where(aim - point[1] + float(np.interp(place, places, curve)))
        if over and under:
            if under[0] - over[0] < 1e-4:
                break
            margin = 0.1 * (under[0] - over[0])
            if not over[0] + margin < place < under[0] - margin:
                share = (over[1] - aim) / (over[1] - under[1])
                place = over[0] + (under[0] - over[0]) * min(max(share, 0.1), 0.9)
    if not under:
        data = encode(HIGHEST_LMBDA)
        return data if len(data) <= target else None
    if not over:
        data = encode(0.0)
        return data if len(data) <= target else best
    return best
