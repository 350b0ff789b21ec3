"""The rate dial: quality to the price of a bit, and the search for a size in bytes."""

from __future__ import annotations

import math
from collections.abc import Callable

DEFAULT_QUALITY = 50

# Prices of a bit in squared latent units at quality 0 and 100. Below 0.13 more bits hardly make better pictures: of the
# validation photographs, up to one in five then has a larger error than at the step before.
LARGEST_PRICE = 1.7
SMALLEST_PRICE = 0.13
# Dearer than any codeword is worth: gives the smallest file.
HIGHEST_PRICE = 1e6

# A size is reached when the file is at most this much smaller than asked for.
TOLERANCE = 0.03
# Prices that the search stays between before it tries none and the highest.
_RANGE = (1e-3, 1e2)
_MOST_STEPS = 24


def lagrangian(quality: float) -> float:
    """The price of a bit in squared latent units for a quality of 0..100; higher quality is better and larger.

    Raises:
        ValueError: quality is outside 0..100.
    """
    if not 0 <= quality <= 100:
        raise ValueError(f"quality {quality} is not between 0 and 100")
    return LARGEST_PRICE * (SMALLEST_PRICE / LARGEST_PRICE) ** (quality / 100)


def search(target: int, estimate: Callable[[float], float], encode: Callable[[float], bytes]) -> bytes | None:
    """The largest file of at most `target` bytes that a price of a bit gives.

    The logarithm of the bytes is nearly a straight line over that of the price, so after a first guess from the
    estimate three or four files settle it.

    Args:
        target: bytes that must not be exceeded.
        estimate: rough number of bytes at a price.
        encode: makes the file at a price.

    Returns:
        the file, smaller than the target by at most `TOLERANCE` unless even a price of 0 gives less; `None` if even
        the highest price gives more.
    """
    aim = math.log((1 - TOLERANCE / 2) * target)
    least, most = (math.log(price) for price in _RANGE)
    over: tuple[float, float] | None = (
        None  # logarithms of price and bytes of the dearest file above the target
    )
    under: tuple[float, float] | None = None  # and of the cheapest price below it
    best = None
    place = _guess(aim, estimate, least, most)
    for _ in range(_MOST_STEPS):
        data = encode(math.exp(place))
        point = place, math.log(len(data))
        if len(data) > target:
            over = point
        else:
            under, best = point, data
            if len(data) >= (1 - TOLERANCE) * target:
                return best
        if over and under:
            if under[0] - over[0] < 1e-4:
                break
            share = (over[1] - aim) / (over[1] - under[1])
            place = over[0] + (under[0] - over[0]) * min(max(share, 0.1), 0.9)
        elif place in (least, most):
            break
        else:
            place = min(max(place + (point[1] - aim) / 0.7, least), most)
    if not under:
        data = encode(HIGHEST_PRICE)
        return data if len(data) <= target else None
    if not over:
        data = encode(0.0)
        return data if len(data) <= target else best
    return best


def _guess(aim: float, estimate: Callable[[float], float], least: float, most: float) -> float:
    """The logarithm of the price at which the estimate is about exp(aim)."""
    for _ in range(8):
        middle = (least + most) / 2
        if math.log(max(estimate(math.exp(middle)), 1.0)) > aim:
            least = middle
        else:
            most = middle
    return (least + most) / 2
