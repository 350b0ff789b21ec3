"""The rate dial: quality to lambda, the Lagrange multiplier of the rate, and the search for a size in bytes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

DEFAULT_QUALITY = 50

# Lambda, in squared latent units per bit, at quality 0 and 100. Below 0.08 more bits hardly make better pictures: of 20
# validation photographs, up to three then have a larger error than at the step before.
LARGEST_LMBDA = 1.7
SMALLEST_LMBDA = 0.1
# A bit costs more than any codeword is worth: gives the smallest file.
HIGHEST_LMBDA = 1e6

# A size is reached when the file is at most this much smaller than asked for.
TOLERANCE = 0.03
# The search stays between these before it tries 0 and the highest.
_RANGE = (1e-2, 2e1)
_ESTIMATES = 9
# Files shrink faster with lambda than the estimate says: the fewer codewords, the better they are foreseen.
_STEEPER = 0.15
_MOST_STEPS = 24


def lmbda_of(quality: float) -> float:
    """Lambda, in squared latent units per bit, of a quality of 0..100; higher quality is better and larger.

    Raises:
        ValueError: quality is outside 0..100.
    """
    if not 0 <= quality <= 100:
        raise ValueError(f"quality {quality} is not between 0 and 100")
    return LARGEST_LMBDA * (SMALLEST_LMBDA / LARGEST_LMBDA) ** (quality / 100)


def search(target: int, estimate: Callable[[float], float], encode: Callable[[float], bytes]) -> bytes | None:
    """The largest file of at most `target` bytes that any lambda gives.

    The estimate tells how bytes fall with lambda, the files so far by how much it is off: two or three settle it.

    Args:
        target: bytes that must not be exceeded.
        estimate: rough number of bytes at a lambda.
        encode: makes the file at a lambda.

    Returns:
        the file, smaller than the target by at most `TOLERANCE` unless no lambda comes so near, or even 0
        gives less; `None` if even the highest gives more.
    """
    aim = math.log((1 - TOLERANCE / 2) * target)
    places = np.linspace(*np.log(_RANGE), _ESTIMATES)
    # Logarithms, of lambdas and of the bytes at them; always falling, so that they can be turned around.
    curve = np.log([max(estimate(math.exp(place)), 1.0) for place in places])
    curve = np.minimum.accumulate(curve) - _STEEPER * places
    least, most = places[0], places[-1]

    def where(size: float) -> float:
        return float(np.interp(-size, -curve, places))

    # Logarithms of lambda and bytes: of the nearest file above the target, and of the nearest below it.
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
