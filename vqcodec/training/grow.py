"""A deeper network that computes what a trained one does, to train it further."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vqcodec.config import Config, ModelConfig
from vqcodec.model import VQGAN


def grow(state: dict[str, Tensor], old: Config, new: ModelConfig) -> dict[str, Tensor]:
    """The weights of a network with more residual blocks that computes the same.

    The new blocks stand last at their resolution. Their outputs are zero until they learn. The dial may change too,
    that is lambda and the steps of the base: no weight has a shape that depends on it.

    Args:
        state: weights of a `VQGAN`.
        old: its configuration.
        new: the same with at least as many blocks everywhere, and any dial.

    Raises:
        ValueError: anything else differs, or there would be fewer blocks.
    """
    parts = {"encoder": "encoder_blocks", "generator": "generator_blocks"}
    if not isinstance(old, ModelConfig):
        raise ValueError("a model of another family")
    more = all(
        before <= after
        for field in parts.values()
        for before, after in zip(getattr(old, field), getattr(new, field), strict=True)
    )
    free = (*parts.values(), "lmbdas", "base_steps")
    if not more or replace(old, **{field: getattr(new, field) for field in free}) != new:
        raise ValueError("more residual blocks and another dial are all that a trained model can grow into")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        result = VQGAN(new).state_dict()
    # New blocks have numbers of their own, behind those that are there.
    return result | {name: value.clone() for name, value in state.items()}
