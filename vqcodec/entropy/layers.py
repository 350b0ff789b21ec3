"""The layers of the context model, written once for integers and for the floats that they are trained as.

An index of K = G * M codewords is two symbols: its group (index // M) and its member (index % M). So a symbol needs G
or M frequencies, not K.

    A   sum over the stages before of an embedding of their index, 3x3 neighbourhood
    C   embedding of this stage's index where the passes before have been, at the positions that this pass looks at
    h1 = relu(W1 A + V1 C + b1[pass])      h2 = relu(W2 h1 + b2)
    group  ~ softmax(Wg h2 + bg)
    h3 = relu(W3 h2 + e3[group])           member ~ softmax(Wm[group] h3 + bm[group])

The first stage has no A, and an embedding of its own for C, since most bits are its.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from vqcodec.entropy.weights import row_of


class ContextLayers(ABC):
    """The structure; what numbers are and how they are multiplied is for the two classes that are made of it.

    Attributes:
        groups: G.
        members: M.
    """

    groups: int
    members: int

    @abstractmethod
    def product(self, inputs: Tensor, name: str, row: int | tuple[int, int]) -> Tensor:
        """Inputs (n, C) times the transpose of a matrix: one row of the tensor `name`."""

    @abstractmethod
    def bias(self, name: str, row: int | tuple[int, int]) -> Tensor:
        """One row of the tensor `name`, in units of a product."""

    @abstractmethod
    def shift(self, total: Tensor) -> Tensor:
        """From units of a product back to those of its inputs; may overwrite."""

    @abstractmethod
    def clamp(self, values: Tensor) -> Tensor:
        """ReLU, and the limit of an activation; may overwrite."""

    def of_stages_before(self, stage: int, patches: Tensor) -> Tensor:
        """What the stages before say: W1 A, of neighbourhoods (n, 9E); not for the first stage."""
        return self.product(patches, *row_of("w1", stage))

    def of_own_stage(self, stage: int, which: int, known: Tensor | None) -> Tensor:
        """What the pass `which` knows of its own stage: V1 C + b1, (n, H), or (H,) if nothing is known yet."""
        name, row = row_of("b1", stage)
        bias = self.bias(name, which if stage == 0 else (row, which))
        if known is None:
            return bias
        name, row = row_of("v1", stage)
        return self.product(known, name, which - 1 if stage == 0 else row) + bias

    def hidden(self, stage: int, total: Tensor) -> Tensor:
        """h2 (n, H) of the sum that goes into h1."""
        return self.clamp(self.layer(stage, self.clamp(self.shift(total)), "w2", "b2"))

    def group_logits(self, stage: int, hidden: Tensor) -> Tensor:
        """Logits (n, G) of h2."""
        return self.layer(stage, hidden, "wg", "bg")

    def member_logits(self, stage: int, hidden: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, M) of h2 and the groups (n,) int64, sorted by group, and the order that sorted them (n,)."""
        hidden = self.clamp(self.layer(stage, hidden, "w3", "e3", group))
        # Every group has a matrix of its own.
        order = group.argsort()
        counts = torch.bincount(group, minlength=self.groups).tolist()
        name, row = row_of("wm", stage)
        parts = [
            self.product(part, name, (row, number))
            for number, part in enumerate(hidden.index_select(0, order).split(counts))
        ]
        bias = self.bias(*row_of("bm", stage))
        return self.shift(torch.cat(parts) + bias.index_select(0, group.index_select(0, order))), order

    def layer(
        self, stage: int, inputs: Tensor, matrix: str, bias: str, group: Tensor | None = None
    ) -> Tensor:
        """A product with its bias, which may depend on the group, in units of the inputs."""
        total = self.product(inputs, *row_of(matrix, stage))
        added = self.bias(*row_of(bias, stage))
        return self.shift(total + (added if group is None else added.index_select(0, group)))
