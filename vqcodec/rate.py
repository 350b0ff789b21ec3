"""The rate dial: quality to stages and Lagrange multiplier."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_QUALITY = 50


@dataclass(frozen=True)
class RatePoint:
    """How the encoder chooses codewords.

    Attributes:
        stages: number of quantizer stages.
        lagrangian: price of a bit in squared latent units; 0 takes the nearest codeword.
    """

    stages: int
    lagrangian: float


def rate_point(quality: float, stages: int) -> RatePoint:
    """Map quality 0..100 to a rate point of a model with `stages` stages; higher is better and larger.

    Raises:
        ValueError: quality is outside 0..100.
    """
    if not 0 <= quality <= 100:
        raise ValueError(f"quality {quality} is not between 0 and 100")
    return RatePoint(min(stages, 1 + int(quality * stages / 100)), 0.0)
