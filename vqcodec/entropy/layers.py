"""Layers of the context model, shared by the integer version and the float version that is trained.

An index of K = G * M codewords is coded as two symbols: its group (index // M) and its member (index % M). So
a symbol needs G or M frequencies, not K.

    A   sum over the earlier stages of an embedding of their index, 3x3 neighbourhood
    C   embedding of this stage's index from earlier passes, at the positions that this pass looks at
    h1 = relu(W1 A + V1 C + b1[pass])      h2 = relu(W2 h1 + b2)
    group  ~ softmax(Wg h2 + bg)
    h3 = relu(W3 h2 + e3[group])           member ~ softmax(Wm[group] h3 + bm[group])

The first stage has no A. It has its own embedding for C, because most of the bits are spent on it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from vqcodec.entropy.weights import row_of


class ContextLayers(ABC):
    """Structure of the context model. Subclasses define the numbers and how they are multiplied.

    Attributes:
        groups: number of groups G.
        members: members per group M.
    """

    groups: int
    members: int

    @abstractmethod
    def product(self, inputs: Tensor, name: str, row: int | tuple[int, int]) -> Tensor:
        """Multiply inputs (n, C) with the transpose of one matrix (N, C) of the tensor `name`: (n, N)."""

    @abstractmethod
    def bias(self, name: str, row: int | tuple[int, int]) -> Tensor:
        """Return one row of the tensor `name`, in units of a product."""

    @abstractmethod
    def shift(self, total: Tensor) -> Tensor:
        """Convert from units of a product back to those of its inputs. May overwrite `total`."""

    @abstractmethod
    def clamp(self, values: Tensor) -> Tensor:
        """Apply ReLU and the limit of an activation. May overwrite `values`."""

    def of_stages_before(self, stage: int, patches: Tensor) -> Tensor:
        """Compute what the earlier stages say, W1 A, from neighbourhoods (n, 9E). Not for stage 0."""
        return self.product(patches, *row_of("w1", stage))

    def of_own_stage(self, stage: int, which: int, known: Tensor | None) -> Tensor:
        """Compute what a pass knows of its own stage: V1 C + b1.

        Args:
            stage: number of the stage, from 0.
            which: number of the pass, from 0.
            known: C (n, embeddings side by side), or `None` if nothing is known yet.

        Returns:
            (n, H), or (H,) if nothing is known yet.
        """
        name, row = row_of("b1", stage)
        bias = self.bias(name, which if stage == 0 else (row, which))
        if known is None:
            return bias
        name, row = row_of("v1", stage)
        return self.product(known, name, which - 1 if stage == 0 else row) + bias

    def hidden(self, stage: int, total: Tensor) -> Tensor:
        """Compute h2 (n, H) from the input of the first activation, W1 A + V1 C + b1 (n, H)."""
        return self.clamp(self.layer(stage, self.clamp(self.shift(total)), "w2", "b2"))

    def group_logits(self, stage: int, hidden: Tensor) -> Tensor:
        """Compute the group logits (n, G) from h2 (n, H)."""
        return self.layer(stage, hidden, "wg", "bg")

    def member_logits(self, stage: int, hidden: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the member logits from h2 (n, H) and groups (n,) int64.

        Returns:
            the logits (n, M), sorted by group, and the order (n,) that sorts them.
        """
        hidden = self.clamp(self.layer(stage, hidden, "w3", "e3", group))
        # Each group has its own matrix.
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
        """Compute a product plus its bias, which `group` (n,) selects if given, in units of the inputs."""
        total = self.product(inputs, *row_of(matrix, stage))
        added = self.bias(*row_of(bias, stage))
        return self.shift(total + (added if group is None else added.index_select(0, group)))
