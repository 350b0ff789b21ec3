"""Integer weights of a context model, and their units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.config import Layer

if TYPE_CHECKING:
    from typing_extensions import Self

WEIGHT_BITS = 6
"""A weight of 1.0 is stored as 2**6."""

UNIT = 16
"""An activation or a logit of 1.0 is stored as 16."""

ACTIVATION_MAX = 127
"""Largest activation, as stored."""

RATE_BITS = 4
"""Upper bits of the rate of a file that choose a bias: 16 parts of the dial."""

EIGHT_BIT = frozenset({"embedding", "own", "v1", "w1", "u1", "c1", "w2", "wg", "w3", "wm"})
"""Names of the tensors of a layer that fit into 8 bits."""


@dataclass
class ContextWeights:
    """Integer weights of all layers.

    Arrays are int32, for exact arithmetic. Those of `EIGHT_BIT` fit into 8 bits and are stored as int8. A layer has K
    codewords in G groups of M members, P passes that each look at n neighbours, E embedding channels and H hidden
    ones.

    Attributes:
        layers: of each layer, by name:
            embedding (K, E): for layers that come later on the same grid, or on the finer one.
            own (K, F): for later passes over the same layer; the first layer only, others use `embedding`.
            v1 (P - 1, H, n F): neighbours of the passes before.
            w1 (H, 9 E): 3x3 positions of the earlier layers of the grid, where there are any.
            u1 (4, H, 4 E): four positions of the coarser grid, for each place in its square; the finer grid only.
            c1 (H, C): features of the base, where there is one.
            r1 (16, H): bias by part of the rate dial.
            b1 (P, H): bias by pass.
            w2 (H, H), b2 (H): second layer.
            wg (G + 1, H), bg (G + 1): groups, after the end of the position.
            w3 (H, H), e3 (G, H): third layer, given the group.
            wm (G, M, H), bm (G, M): members of each group.
    """

    layers: list[dict[str, np.ndarray]]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays by name: number of the layer, full stop, name in the layer."""
        return {
            f"{number}.{name}": tensor
            for number, layer in enumerate(self.layers)
            for name, tensor in layer.items()
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> Self:
        """The inverse of `tensors`.

        Raises:
            ValueError: a name is not one of those.
        """
        layers: dict[int, dict[str, np.ndarray]] = {}
        for key, tensor in tensors.items():
            number, _, name = key.partition(".")
            layers.setdefault(int(number), {})[name] = tensor
        return cls([layers[number] for number in sorted(layers)])

    def check(self, layers: Sequence[Layer], has_base: bool) -> None:
        """Check that the weights are of a model.

        Args:
            layers: planes of indices of the model.
            has_base: whether it has a base.

        Raises:
            ValueError: layers or tensors are missing or too many, or a codebook has another size.
        """
        if len(self.layers) != len(layers):
            raise ValueError(f"a context model of {len(self.layers)} layers for {len(layers)}")
        scales = [layer.scale for layer in layers]
        for number, (tensors, layer) in enumerate(zip(self.layers, layers, strict=True)):
            wanted = names(scales[:number], layer.scale, has_base)
            if set(tensors) != wanted:
                raise ValueError(
                    f"layer {number} of the context model has {sorted(tensors)}, not {sorted(wanted)}"
                )
            if len(tensors["embedding"]) != layer.codebook_size:
                raise ValueError(
                    f"layer {number} of the context model is not for {layer.codebook_size} codewords"
                )


def names(before: Sequence[int], scale: int, has_base: bool) -> set[str]:
    """Names of the tensors of a layer.

    Args:
        before: scales of the layers before it.
        scale: of the layer.
        has_base: whether the model has a base.
    """
    found = {"embedding", "v1", "r1", "b1", "w2", "b2", "wg", "bg", "w3", "e3", "wm", "bm"}
    found |= {"own"} if not before else set()
    found |= {"w1"} if scale in before else set()
    found |= {"u1"} if scale == 2 and 1 in before else set()
    return found | ({"c1"} if has_base else set())


def is_eight_bit(key: str) -> bool:
    """Whether a tensor of `ContextWeights.tensors` fits into 8 bits, by its name there."""
    return key.rpartition(".")[2] in EIGHT_BIT


def split(codebook_size: int) -> tuple[int, int]:
    """Return groups G and members M of K codewords: K = G * M with G >= M >= 2 and the smallest such G.

    Raises:
        ValueError: K is prime.
    """
    for members in range(math.isqrt(codebook_size), 1, -1):
        if codebook_size % members == 0:
            return codebook_size // members, members
    raise ValueError(f"{codebook_size} codewords cannot be split into groups of equal size")
