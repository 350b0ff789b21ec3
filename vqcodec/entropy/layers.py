"""Layers of the context model, shared by the integer version and the float version that is trained.

An index of K = G * M codewords is coded as one or two symbols. The first is 0 if index 0 ends the position, else 1 plus
the group (index // M); the second is the member (index % M). So a symbol needs G + 1 or M frequencies, not K.

    A   sum over the earlier layers of the grid of an embedding of their index, 3x3 positions
    B   the same sum over all layers of the coarser grid, the four positions nearest
    C   embedding of this layer's index from earlier passes, at the positions that this pass looks at
    D   features of the base
    h1 = relu(W1 A + U1[place] B + V1[pass] C + C1 D + r1[rate] + b1[pass])      h2 = relu(W2 h1 + b2)
    group  ~ softmax(Wg h2 + bg)
    h3 = relu(W3 h2 + e3[group])           member ~ softmax(Wm[group] h3 + bm[group])

Only positions that go on have symbols. All others count as index 0 where they are looked at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from vqcodec.config import Layer
from vqcodec.entropy.weights import split

if TYPE_CHECKING:
    from torch import Tensor

Row = int | None
Array = TypeVar("Array", "Tensor", np.ndarray)


class ContextLayers(ABC, Generic[Array]):
    """Structure of the context model. Subclasses define the numbers and how they are multiplied.

    Attributes:
        layers: planes of indices that it models, in the order in which they are coded.
        groups: of each layer, number of groups G.
        members: of each layer, members per group M.
    """

    layers: Sequence[Layer]
    groups: list[int]
    members: list[int]

    def describe(self, layers: Sequence[Layer]) -> None:
        """Set the attributes."""
        self.layers = layers
        sizes = [split(layer.codebook_size) for layer in layers]
        self.groups, self.members = [groups for groups, _ in sizes], [members for _, members in sizes]

    @abstractmethod
    def product(self, inputs: Array, layer: int, name: str, row: Row = None) -> Array:
        """Multiply inputs (n, C) with the transpose of a matrix (N, C), or a row of matrices, of a layer: (n, N)."""

    @abstractmethod
    def by_group(self, inputs: Array, layer: int, group: Array) -> Array:
        """Multiply inputs (n, H) with the transpose of the matrix `wm` of the group (n,) of each, 0 to G - 1, in
        ascending order: (n, M)."""

    @abstractmethod
    def bias(self, layer: int, name: str, row: Row | Array = None) -> Array:
        """Return a bias of a layer, or a row of one, or some rows (n,), in units of a product."""

    @abstractmethod
    def shift(self, total: Array) -> Array:
        """Convert from units of a product back to those of its inputs. May overwrite `total`."""

    @abstractmethod
    def clamp(self, values: Array) -> Array:
        """Apply ReLU and the limit of an activation. May overwrite `values`."""

    def symbols(self, layer: int, indices: Array) -> tuple[Array, Array]:
        """First symbols and members of indices (n,); members mean nothing where the first symbol is 0."""
        first = 1 + indices // self.members[layer]
        if self.layers[layer].ends:
            first = first * (indices != 0)
        return first, indices % self.members[layer]

    def indices(self, layer: int, first: Array, members: Array) -> Array:
        """The inverse of `symbols`; index 0 where the first symbol is 0."""
        return ((first - 1) * self.members[layer] + members) * (first != 0)

    def hidden(self, layer: int, total: Array) -> Array:
        """Compute h2 (n, H) from the input of the first activation (n, H)."""
        first = self.clamp(self.shift(total))
        return self.clamp(self.shift(self.product(first, layer, "w2") + self.bias(layer, "b2")))

    def group_logits(self, layer: int, hidden: Array) -> Array:
        """Compute the logits (n, G + 1) of the first symbol from h2 (n, H)."""
        return self.shift(self.product(hidden, layer, "wg") + self.bias(layer, "bg"))

    def member_logits(self, layer: int, hidden: Array, group: Array) -> Array:
        """Compute the member logits (n, M) from h2 (n, H) and groups (n,) int64, 0 to G - 1, in ascending order."""
        given = self.bias(layer, "e3", group)
        hidden = self.clamp(self.shift(self.product(hidden, layer, "w3") + given))
        return self.shift(self.by_group(hidden, layer, group) + self.bias(layer, "bm", group))
