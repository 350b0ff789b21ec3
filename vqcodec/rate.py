"""Rate control: what a quality stands for, and the search for a file size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.planes import RATES

if TYPE_CHECKING:
    from vqcodec.config import Shape

DEFAULT_QUALITY = 50

# The size of files grows fastest at the lower end of the dial. So that qualities are spread evenly over sizes, they are
# closer together there.
BEND = 1.5
# Places on the dial that a search may use: 0 and 1 are quality 0 and 100. Beyond them the networks stay where they
# are, and only lambda and the step of the base change.
LOWEST, HIGHEST = -1.0, 1.5
# Factors per unit beyond the ends of the dial.
_LMBDA_BELOW, _LMBDA_ABOVE = 1e4, 1e-4
_STEP_BELOW, _STEP_ABOVE = 6.0, 0.1
# What a finer step of the base than the usual one may cost, in bits per position at both ends of the dial. Flat and
# smooth tiles cost less than that even in steps of one level.
_BASE_BUDGET = (0.6, 3.0)
# Lambda of models without a dial, in squared latent units per bit, at quality 0 and at quality 100.
LMBDAS_WITHOUT_DIAL = (1.7, 0.1)

# A size counts as reached if the file is at most this fraction smaller than requested.
TOLERANCE = 0.03
_ESTIMATES = 11
_MOST_STEPS = 12
# Places this near are about one point of the dial apart.
_NEAR = 0.006
# How far lambda may fall below that of a point of the dial (natural logarithm), and how often it is changed.
_LEAST_FACTOR = 4.0
_MOST_REFINED = 8


@dataclass(frozen=True)
class Setting:
    """How a picture is encoded.

    Attributes:
        rate: point of the rate dial, 0..255.
        lmbda: Lagrange multiplier of the rate, squared latent units per bit.
        base_step: usual step of the luma of the base, in levels.
        base_budget: bits per position that a tile may spend on a base of finer steps.
    """

    rate: int
    lmbda: float
    base_step: float = 1.0
    base_budget: float = 0.0


def place_of(quality: float) -> float:
    """The place on the dial, 0..1, of a quality of 0..100.

    Raises:
        ValueError: quality is outside 0..100.
    """
    if not isinstance(quality, Real):
        raise ValueError(f"quality {quality!r} is not a number between 0 and 100")
    if not 0 <= quality <= 100:
        raise ValueError(f"quality {quality} is not between 0 and 100")
    return float((quality / 100) ** BEND)


def setting_at(config: Shape, place: float) -> Setting:
    """The setting of a model at a place on the dial, `LOWEST` to `HIGHEST`; 0..1 are the qualities."""
    # The command line needs this module, but not torch.
    from vqcodec.config import ModelConfig

    inside = min(max(place, 0.0), 1.0)
    below, above = max(-place, 0.0), max(place - 1, 0.0)
    factor = _LMBDA_BELOW**below * _LMBDA_ABOVE**above
    if not isinstance(config, ModelConfig):
        lowest, highest = LMBDAS_WITHOUT_DIAL
        return Setting(0, lowest * (highest / lowest) ** inside * factor)
    least, most = _BASE_BUDGET
    return Setting(
        round((RATES - 1) * inside),
        config.lmbda(inside) * factor,
        max(1.0, config.base_step(inside) * _STEP_BELOW**below * _STEP_ABOVE**above),
        least * (most / least) ** inside / _STEP_BELOW**below,
    )


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


def search(
    config: Shape,
    target: int,
    estimate: Callable[[Setting], float],
    encode: Callable[[Setting], bytes],
) -> bytes | None:
    """Find the largest file of at most `target` bytes at any place on the dial.

    `estimate` tells how the size grows along the dial, and the files encoded so far correct it. Between two points of
    the dial sizes may jump, since each has a base of its own. There, lambda alone changes, and nothing else is computed
    anew.

    Args:
        config: configuration of the model.
        target: maximum number of bytes.
        estimate: returns the approximate number of bytes at a setting.
        encode: returns the file at a setting.

    Returns:
        the file, or `None` if even that at `LOWEST` is larger. The file is smaller than `target` by at most the
        fraction `TOLERANCE`, unless no setting comes that close or even `HIGHEST` gives less.
    """
    aim = math.log((1 - TOLERANCE / 2) * target)
    places = np.linspace(LOWEST, HIGHEST, _ESTIMATES)
    # The curve is the log of the bytes at each place. A little slope everywhere lets it be inverted.
    curve = np.log([max(estimate(setting_at(config, place)), 1.0) for place in places.tolist()])
    curve = np.maximum.accumulate(curve) + 0.01 * places

    def where(size: float) -> float:
        return float(np.interp(size, curve, places))

    # Place and log bytes of the nearest file above the target, and of the nearest one below it.
    over: tuple[float, float] | None = None
    under: tuple[float, float] | None = None
    best = None
    place = where(aim)
    for _ in range(_MOST_STEPS):
        data = encode(setting_at(config, place))
        point = place, math.log(len(data))
        if len(data) <= target:
            if best is None or len(data) > len(best):
                best = data
            if len(data) >= (1 - TOLERANCE) * target:
                return best
            under = point
        else:
            over = point
        if (place <= LOWEST and not under) or (place >= HIGHEST and not over):
            return best
        place = where(aim - point[1] + float(np.interp(place, places, curve)))
        if over and under:
            if over[0] - under[0] < _NEAR:
                break
            margin = 0.1 * (over[0] - under[0])
            if not under[0] + margin < place < over[0] - margin:
                share = (aim - under[1]) / max(over[1] - under[1], 1e-9)
                place = under[0] + (over[0] - under[0]) * min(max(share, 0.1), 0.9)
    return _refined(target, setting_at(config, under[0]), best, encode) if under else best


def _refined(
    target: int, setting: Setting, best: bytes | None, encode: Callable[[Setting], bytes]
) -> bytes | None:
    """The largest file of at most `target` bytes at a setting whose lambda falls, or `best`."""
    # Logarithms of factors of lambda whose files are small enough, and too large.
    low, high = 0.0, -_LEAST_FACTOR
    for _ in range(_MOST_REFINED):
        middle = (low + high) / 2
        data = encode(replace(setting, lmbda=setting.lmbda * math.exp(middle)))
        if len(data) > target:
            high = middle
            continue
        low = middle
        if best is None or len(data) > len(best):
            best = data
        if len(data) >= (1 - TOLERANCE) * target:
            break
    return best
