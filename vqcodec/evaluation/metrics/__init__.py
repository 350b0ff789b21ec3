"""Distances between an original and a decoded image, each named with the network that it uses."""

from vqcodec.evaluation.metrics.base import Measure, Metric, Shown, to_tensor
from vqcodec.evaluation.metrics.registry import DEFAULT_METRICS, KID, METRICS
from vqcodec.evaluation.metrics.scorer import Reference, Scorer

__all__ = [
    "DEFAULT_METRICS",
    "KID",
    "METRICS",
    "Measure",
    "Metric",
    "Reference",
    "Scorer",
    "Shown",
    "to_tensor",
]
