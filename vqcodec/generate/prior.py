"""Prior knowledge of index planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqcodec.codebooks import BandCodebooks, PlainCodebook
from vqcodec.config import Layer
from vqcodec.entropy.context import ContextModel


@dataclass(frozen=True)
class Prior:
    """What indices stand for, and how likely they are.

    Attributes:
        codebooks: of each layer, (K, D).
        layers: planes of indices of the model.
        context: the context model; `None` for models without one.
    """

    codebooks: Sequence[np.ndarray]
    layers: Sequence[Layer]
    context: ContextModel | None

    @classmethod
    def of(
        cls,
        bands: Sequence[BandCodebooks | PlainCodebook],
        layers: Sequence[Layer],
        context: ContextModel | None,
    ) -> Prior:
        """The prior of a model with these codebooks and layers, and its context model."""
        return cls([bands[layer.band].codebooks[layer.stage] for layer in layers], layers, context)
