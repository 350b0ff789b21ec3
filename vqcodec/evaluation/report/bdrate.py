"""Bjontegaard delta rate: how many bytes one codec needs at the quality of another, averaged over qualities.

Log rate is interpolated over quality with monotone piecewise cubic Hermite polynomials (PCHIP), as in the
JCT-VC common test conditions (Bossen, JCTVC-L1100, 2013), and integrated over the common range of qualities.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqcodec.extras import require


@dataclass(frozen=True)
class BDRate:
    """Rate difference of a codec against an anchor.

    Attributes:
        percent: -50 means that the codec needs half the bytes.
        low: worse end of the quality range that was averaged over, in units of the metric.
        high: better end.
        overlap: length of that range over the union of both quality ranges, 0..1. A small overlap says
            little.
    """

    percent: float
    low: float
    high: float
    overlap: float


def bd_rate(
    anchor: Sequence[tuple[float, float]], codec: Sequence[tuple[float, float]], higher_is_better: bool = True
) -> BDRate | None:
    """Compute the Bjontegaard delta rate of `codec` against `anchor`.

    Points that cost more than another point of the same curve without being better are ignored.

    Args:
        anchor: (rate, quality) points, rate in any unit above 0.
        codec: the same for the codec.
        higher_is_better: direction of the quality.

    Returns:
        the BD-rate, or `None` if the qualities do not overlap.

    Raises:
        MissingExtraError: `scipy` is not installed.
    """
    interpolate = require("scipy.interpolate", "scipy", "the BD-rate")
    sign = 1 if higher_is_better else -1
    curves = [_improving(anchor, sign), _improving(codec, sign)]
    if any(len(qualities) < 2 for qualities, _ in curves):
        return None
    low = max(qualities[0] for qualities, _ in curves)
    high = min(qualities[-1] for qualities, _ in curves)
    if low >= high:
        return None
    union = max(qualities[-1] for qualities, _ in curves) - min(qualities[0] for qualities, _ in curves)
    areas = [interpolate.PchipInterpolator(*curve).integrate(low, high) for curve in curves]
    difference = (areas[1] - areas[0]) / (high - low)
    return BDRate(float(np.expm1(difference) * 100), sign * low, sign * high, (high - low) / union)


def value_at(points: Sequence[tuple[float, float]], rate: float) -> float | None:
    """Return the quality of a curve at a rate, PCHIP-interpolated over log rate; `None` outside its rates.

    Args:
        points: (rate, quality) points, at least two, with different rates above 0.
        rate: in the same unit.

    Raises:
        MissingExtraError: `scipy` is not installed.
    """
    interpolate = require("scipy.interpolate", "scipy", "interpolating curves")
    rates, qualities = zip(*sorted(points), strict=True)
    if not rates[0] <= rate <= rates[-1]:
        return None
    return float(interpolate.PchipInterpolator(np.log(rates), qualities)(np.log(rate)))


def _improving(points: Sequence[tuple[float, float]], sign: int) -> tuple[list[float], list[float]]:
    """Return increasing qualities and their log rates, without points that a cheaper one equals or beats."""
    qualities: list[float] = []
    log_rates: list[float] = []
    for rate, quality in sorted((rate, sign * quality) for rate, quality in points):
        if np.isfinite(quality) and (not qualities or quality > qualities[-1]):
            qualities.append(quality)
            log_rates.append(float(np.log(rate)))
    return qualities, log_rates
