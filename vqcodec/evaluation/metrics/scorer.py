"""Compute the chosen metrics on many images, with each network loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from vqcodec.errors import RequestError
from vqcodec.evaluation.metrics.base import Shown
from vqcodec.evaluation.metrics.registry import METRICS


@dataclass
class Reference:
    """An original, with everything that its comparisons share.

    Attributes:
        image: RGB.
        prepared: result of `Measure.prepare` for each metric, by name. Metrics that need a larger image are
            absent.
    """

    image: Image.Image
    prepared: dict[str, Any]


class Scorer:
    """Computes the chosen per-image metrics.

    Args:
        names: metric names from `METRICS`. Metrics of a set of images are ignored.

    Raises:
        RequestError: a name is not known.
        MissingExtraError: a package that a metric needs is not installed.
    """

    def __init__(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in METRICS]
        if unknown:
            raise RequestError(f"no metric {unknown[0]!r}, only {', '.join(METRICS)}")
        self._measures = {
            name: metric.load() for name, metric in METRICS.items() if name in names and metric.load
        }

    @torch.inference_mode()
    def reference(self, image: Image.Image) -> Reference:
        """Prepare an original of any mode for any number of comparisons."""
        shown = Shown.of(image)
        prepared = {
            name: measure.prepare(shown)
            for name, measure in self._measures.items()
            if min(image.size) >= METRICS[name].smallest_side
        }
        return Reference(shown.image, prepared)

    @torch.inference_mode()
    def score(self, reference: Reference, decoded: Image.Image) -> dict[str, float]:
        """Return the metric values by name. Metrics that need a larger image are absent.

        Raises:
            ValueError: the decoded image does not have the size of the original.
        """
        if decoded.size != reference.image.size:
            raise ValueError(f"decoded image is {decoded.size}, the original {reference.image.size}")
        shown = Shown.of(decoded)
        return {
            name: self._measures[name].compare(prepared, shown)
            for name, prepared in reference.prepared.items()
        }
