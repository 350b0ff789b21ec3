"""Integer weights of a context model, and their units."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from torch import Tensor

WEIGHT_BITS = 6
"""A weight of 1.0 is stored as 2**6."""

UNIT = 16
"""An activation or a logit of 1.0 is stored as 16."""

ACTIVATION_MAX = 127
"""Largest activation, as stored."""


@dataclass
class ContextWeights:
    """Integer weights of all stages: S stages, K codewords in G groups of M members.

    The first stage is wider than the others: it has F embedding and L hidden channels in place of E and H.
    Tensors are int32, for exact arithmetic. Those marked int8 fit into 8 bits and are stored as int8.
    """

    embedding: Tensor  # (S, K, E) int8
    w1: Tensor  # (S - 1, H, 9E) int8
    v1: Tensor  # (S - 1, H, 4E) int8
    b1: Tensor  # (S - 1, 2, H)
    w2: Tensor  # (S - 1, H, H) int8
    b2: Tensor  # (S - 1, H)
    wg: Tensor  # (S - 1, G, H) int8
    bg: Tensor  # (S - 1, G)
    w3: Tensor  # (S - 1, H, H) int8
    e3: Tensor  # (S - 1, G, H)
    wm: Tensor  # (S - 1, G, M, H) int8
    bm: Tensor  # (S - 1, G, M)
    first_embedding: Tensor  # (1, K, F) int8
    first_v1: Tensor  # (4, L, 12F) int8: passes 1 to 4
    first_b1: Tensor  # (5, L): passes 0 to 4
    first_w2: Tensor  # (1, L, L) int8
    first_b2: Tensor  # (1, L)
    first_wg: Tensor  # (1, G, L) int8
    first_bg: Tensor  # (1, G)
    first_w3: Tensor  # (1, L, L) int8
    first_e3: Tensor  # (1, G, L)
    first_wm: Tensor  # (1, G, M, L) int8
    first_bm: Tensor  # (1, G, M)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


_MATRICES = ("embedding", "w1", "v1", "w2", "wg", "w3", "wm")
EIGHT_BIT = (*_MATRICES, *(f"first_{name}" for name in _MATRICES if name != "w1"))
"""Names of the tensors that fit into 8 bits."""


def row_of(name: str, stage: int) -> tuple[str, int]:
    """Return the tensor that holds the weights `name` (w2, bg, ...) of a stage, and the row in it."""
    return (name, stage - 1) if stage else (f"first_{name}", 0)


def split(codebook_size: int) -> tuple[int, int]:
    """Return groups G and members M of K codewords: K = G * M with G >= M >= 2 and the smallest such G.

    Raises:
        ValueError: K is prime.
    """
    for members in range(math.isqrt(codebook_size), 1, -1):
        if codebook_size % members == 0:
            return codebook_size // members, members
    raise ValueError(f"{codebook_size} codewords cannot be split into groups of equal size")
