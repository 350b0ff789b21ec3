"""Prior knowledge of index planes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vqcodec.entropy.context import ContextModel


@dataclass(frozen=True)
class Prior:
    """What indices stand for, and how likely they are.

    Attributes:
        codebooks: (S, K, D).
        context: the context model; `None` for models without one.
    """

    codebooks: Tensor
    context: ContextModel | None
