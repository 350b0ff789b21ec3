"""A deeper network that computes what a trained one does, to train it further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vqcodec.model import VQGAN, ModelConfig
from vqcodec.model.config import Config


def grow(state: dict[str, Tensor], old: Config, new: ModelConfig) -> dict[str, Tensor]:
    """The weights of a network with more residual blocks that computes the same.

    The new blocks stand last at their resolution. Their outputs are zero until they learn.

    Args:
        state: weights of a `VQGAN`.
        old: its configuration.
        new: the same with at least as many blocks everywhere.

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
    if not more or replace(old, **{field: getattr(new, field) for field in parts.values()}) != new:
        raise ValueError("more residual blocks are the only difference that a trained model can grow into")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        result = VQGAN(new).state_dict()
    layers = {
        f"{part}.body.{here}.": f"{part}.body.{there}."
        for part, field in parts.items()
        for here, there in _places(getattr(old, field), getattr(new, field))
    }
    for name, value in state.items():
        part, _, rest = name.partition(".body.")
        if rest:
            number, _, end = rest.partition(".")
            name = layers[f"{part}.body.{number}."] + end
        result[name] = value.clone()
    return result


def _places(old: Sequence[int], new: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where the layers of a body stand in the deeper one: blocks of all resolutions, a change of these between."""
    here = there = 0
    for level, (before, after) in enumerate(zip(old, new, strict=True)):
        kept = before + (level > 0)
        yield from ((here + number, there + number) for number in range(kept))
        here += kept
        there += after + (level > 0)
