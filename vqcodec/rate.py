"""The rate dial: quality to the price of a bit, and the search for a size in bytes."""

from __future__ import annotations

import math
from collections.abc import Callable

DEFAULT_QUALITY = 50

# Prices of a bit in squared latent units at quality 0 and 100: the range that the model was trained on.
LARGEST_PRICE = 1.2
SMALLEST_PRICE = 0.03
# Dearer than any codeword is worth: gives the smallest file.
HIGHEST_PRICE = 1e6

# A size is reached when the file is at most this much smaller than asked for.
TOLERANCE = 0.03
_MOST_STEPS = 40


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

    Args:
        target: bytes that must not be exceeded.
        estimate: cheap estimate of the file's bytes at a price; only its shape matters, since it is scaled to
            agree with the files that were made.
        encode: makes the file at a price.

    Returns:
        the file, smaller than the target by at most `TOLERANCE` unless even a price of 0 gives less; `None` if even
        an endless price gives more.
    """
    low, high = (
        1e-3,
        100.0,
    )  # prices between which the answer lies: `low` too dear in bytes, `high` affordable
    best = encode(HIGHEST_PRICE)
    if len(best) > target:
        return None
    largest = encode(0.0)
    if len(largest) <= target:
        return largest
    scale = len(largest) / max(estimate(0.0), 1.0)
    for step in range(_MOST_STEPS):
        price = _solve(estimate, 0.985 * target / scale, low, high) if step < 5 else math.sqrt(low * high)
        data = encode(price)
        if len(data) > target:
            low = max(low, price)
        else:
            high = min(high, price)
            best = max(best, data, key=len)
            if len(data) >= (1 - TOLERANCE) * target:
                break
        if high / low < 1.0001:
            break
        scale = len(data) / max(estimate(price), 1.0)
    return best


def _solve(estimate: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """The price between `low` and `high` whose estimate is `wanted`; the estimate falls with the price."""
    low, high = low * 1.0001, high / 1.0001
    for _ in range(12):
        middle = math.sqrt(low * high)
        if estimate(middle) > wanted:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
