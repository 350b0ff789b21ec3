"""Prior knowledge of index planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from vqcodec.entropy.context import ContextModel
from vqcodec.model import VQGAN, TamingVQGAN
from vqcodec.model.config import Layer


@dataclass(frozen=True)
class Prior:
    """What indices stand for, and how likely they are.

    Attributes:
        codebooks: of each layer, (K, D).
        layers: planes of indices of the model.
        context: the context model; `None` for models without one.
    """

    codebooks: Sequence[Tensor]
    layers: Sequence[Layer]
    context: ContextModel | None

    @classmethod
    def of(cls, model: VQGAN | TamingVQGAN, context: ContextModel | None) -> Prior:
        """The prior of a model and its context model."""
        if isinstance(model, VQGAN):
            bands = [quantizer.codebooks for quantizer in model.quantizers]
        else:
            bands = [model.quantizer.codebooks]
        layers = model.config.layers
        codebooks = [bands[layer.band][layer.stage] for layer in layers]
        return cls(codebooks, layers, context)
