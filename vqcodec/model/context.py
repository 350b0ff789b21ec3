"""Context model: integer frequencies of every index, from the indices decoded before it.

Index planes are decoded stage by stage, and each stage in two passes over a checkerboard (He et al., CVPR
2021). The even positions of the first stage, which has no stages before to go by, come in four passes themselves, from
a coarse grid to finer ones. An index of K = G * M codewords is two symbols: its group (index // M) and its member
(index % M), so that a symbol needs G or M frequencies, not K.

    A   sum over the stages before of an embedding of their index, 3x3 neighbourhood
    C   embedding of this stage's index at the four nearest positions of the passes before; none in the first pass
    h1 = relu(W1 A + V1 C + b1[pass])      h2 = relu(W2 h1 + b2)
    group  ~ softmax(Wg h2 + bg)
    h3 = relu(W3 h2 + e3[group])           member ~ softmax(Wm[group] h3 + bm[group])

Most bits are those of the first stage, and what they depend on is not what the others do. It has a wider model of its
own, with an embedding of its own and C at the twelve nearest positions of the passes before. In older models the first
stage is like the others, but for V0 and b0 that stand for V1 and b1 in its passes between the first and the last one;
the oldest have two passes in all stages.

Everything is integers: weights and embeddings of 8 bits, activations of 7 bits, a shift between layers, a
table for exp. Matrix products run in float32 on integer values whose sums stay below 2**24, so they are exact in
any order, on any number of threads and on any machine; both factors have at most 7 bits and a sign, so they are
exact in bfloat16 and TF32 too, should a user have allowed those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from vqcodec.processor import capabilities

WEIGHT_BITS = 6  # a weight of 1.0 is 2**6
_HALF = 1 << WEIGHT_BITS - 1  # added before a shift, so that it rounds
UNIT = 16  # an activation or a logit of 1.0 is 16
ACTIVATION_MAX = 127
FREQUENCY_SUM = 1 << 16

# exp(-d / UNIT) for d = 0, 1, ... in units of 2**-14; written out by `exp_table`, frozen by the golden files.
EXP_ONE = 1 << 14


def exp_table() -> Tensor:
    """int32 table of exp(-d / 16), d = 0..255, computed with integers only.

    A float exp may differ in the last bit between machines; exp(-1/16) with 62 fractional bits does not.
    """
    factor, scale, value, table = 4332278087304955804, 1 << 62, 1 << 62, []
    for _ in range(256):
        table.append((value * EXP_ONE + scale // 2) // scale)
        value = value * factor // scale
    return torch.tensor(table, dtype=torch.int32)


@dataclass
class ContextWeights:
    """Integer weights, one set per stage: S stages, K codewords in G groups of M members, E embedding and H hidden
    channels, F embedding and L hidden channels in a first stage with a model of its own.

    R is S, less the first stage if it has its own. All tensors are int32 for exact arithmetic; those marked int8 fit
    into 8 bits and are stored so.
    """

    embedding: Tensor  # (S, K, E) int8
    w1: Tensor  # (R, H, 9E) int8
    v1: Tensor  # (R, H, 4E) int8
    b1: Tensor  # (R, 2, H)
    w2: Tensor  # (R, H, H) int8
    b2: Tensor  # (R, H)
    wg: Tensor  # (R, G, H) int8
    bg: Tensor  # (R, G)
    w3: Tensor  # (R, H, H) int8
    e3: Tensor  # (R, G, H)
    wm: Tensor  # (R, G, M, H) int8, in older models (R, M, H), the same for all groups
    bm: Tensor  # (R, G, M)
    # The first stage's own, as above but for its passes.
    first_embedding: Tensor | None = None  # (1, K, F) int8
    first_v1: Tensor | None = None  # (4, L, 12F) int8: passes 1 to 4
    first_b1: Tensor | None = None  # (5, L): passes 0 to 4
    first_w2: Tensor | None = None  # (1, L, L) int8
    first_b2: Tensor | None = None  # (1, L)
    first_wg: Tensor | None = None  # (1, G, L) int8
    first_bg: Tensor | None = None  # (1, G)
    first_w3: Tensor | None = None  # (1, L, L) int8
    first_e3: Tensor | None = None  # (1, G, L)
    first_wm: Tensor | None = None  # (1, G, M, L) int8
    first_bm: Tensor | None = None  # (1, G, M)
    # Of older models, for a first stage like the others in five passes.
    v0: Tensor | None = None  # (3, H, 4E) int8
    b0: Tensor | None = None  # (3, H)

    def tensors(self) -> dict[str, Tensor]:
        """All that are there, by name."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}

    @property
    def own_first(self) -> bool:
        """Whether the first stage has a model of its own."""
        return self.first_embedding is not None

    def of(self, name: str, stage: int) -> tuple[str, int]:
        """The tensor that holds the weights `name` (w2, bg, ...) of a stage, and its row."""
        if not self.own_first:
            return name, stage
        return (name, stage - 1) if stage else (f"first_{name}", 0)

    def last_pass(self, stage: int) -> int:
        """The number of the last pass of a stage."""
        return 4 if stage == 0 and (self.own_first or self.v0 is not None) else 1

    def of_pass(self, stage: int, which: int) -> tuple[tuple[str, int], Tensor]:
        """Matrix for what a pass of a stage knows of the stage itself, as tensor and row, and bias (H,)."""
        if self.own_first and stage == 0:
            return ("first_v1", which - 1), self.first_b1[which]
        if which in (0, self.last_pass(stage)):
            row = self.of("v1", stage)
            return row, self.b1[row[1], min(which, 1)]
        return ("v0", which - 1), self.b0[which - 1]


def split(codebook_size: int) -> tuple[int, int]:
    """Groups G and members M of K codewords: K = G * M with G >= M >= 2, and G as small as can be.

    Raises:
        ValueError: K is prime.
    """
    for members in range(math.isqrt(codebook_size), 1, -1):
        if codebook_size % members == 0:
            return codebook_size // members, members
    raise ValueError(f"{codebook_size} codewords cannot be split into groups of equal size")


_MATRICES = ("embedding", "w1", "v1", "w2", "wg", "w3", "wm", "v0")
EIGHT_BIT = (*_MATRICES, *(f"first_{name}" for name in _MATRICES))


class ContextModel:
    """Computes the frequencies of one stage after the other, alike for coder and decoder.

    Args:
        weights: the integer weights.
    """

    def __init__(self, weights: ContextWeights) -> None:
        self.stages, self.codebook_size, self.channels = weights.embedding.shape
        _, self.groups, self.members = (weights.first_bm if weights.own_first else weights.bm).shape
        self.weights = weights
        # Matrix factors are kept as float32 once; biases stay integers.
        self.factors = {
            name: tensor.float() for name, tensor in weights.tensors().items() if name in EIGHT_BIT
        }
        self._bytes = None
        if _bytes_are_exact():
            self._bytes = {
                name: factor.to(torch.int8).mT.contiguous()
                for name, factor in self.factors.items()
                if not name.endswith("embedding")
            }
        self.embedding = weights.embedding.to(torch.int8)
        self.first_embedding = weights.first_embedding.to(torch.int8)[0] if weights.own_first else None
        self.exp = exp_table()

    @torch.inference_mode()
    def start(self, count: int, rows: int, columns: int) -> ContextState:
        """Begin `count` tiles of rows x columns positions."""
        return ContextState(self, count, rows, columns)

    def frequencies(self, logits: Tensor) -> np.ndarray:
        """Turn logits (n, A) int32 into frequencies (n, A) int32 of at least 1 that sum to 2**16."""
        largest, place = logits.max(1, keepdim=True)
        distance = (largest - logits).clamp_(max=len(self.exp) - 1)
        mass = self.exp.index_select(0, distance.flatten()).view_as(distance)
        # mass <= 2**14 and reciprocal <= 2**16, so the product fits into 31 bits.
        total = mass.sum(1, keepdim=True, dtype=torch.int32)
        reciprocal = (FREQUENCY_SUM - logits.shape[1]) * EXP_ONE // total
        result = mass.mul_(reciprocal).bitwise_right_shift_(14).add_(1)
        left = FREQUENCY_SUM - result.sum(1, keepdim=True, dtype=torch.int32)
        return result.scatter_add_(1, place, left).numpy()

    def layer(
        self, inputs: Tensor, factor: str, bias: str, stage: int, group: Tensor | None = None
    ) -> Tensor:
        """A matrix product (n, N) int32 of inputs (n, K) int8, with bias, shifted back to units of its inputs.

        Args:
            inputs: activations or sums of embeddings.
            factor, bias: names of the weights.
            stage: whose.
            group: (n,), where the bias depends on it.
        """
        name, row = self.weights.of(bias, stage)
        biases = getattr(self.weights, name)[row] + _HALF
        total = self.product(inputs, *self.weights.of(factor, stage))
        total += biases if group is None else biases.index_select(0, group)
        return total.bitwise_right_shift_(WEIGHT_BITS)

    def member_logits(self, hidden: Tensor, stage: int, group: Tensor) -> Tensor:
        """Logits (n, M) int32 of the members of a group (n,) int64 each, of activations (n, H) int8."""
        name, row = self.weights.of("wm", stage)
        if self.factors[name].ndim == 3:
            return self.layer(hidden, "wm", "bm", stage, group)
        # Positions group by group, each group with its matrix.
        order = group.argsort()
        parts = hidden.index_select(0, order).split(torch.bincount(group, minlength=self.groups).tolist())
        total = [self.product(part, name, (row, number)) for number, part in enumerate(parts) if len(part)]
        logits = torch.empty(len(group), self.members, dtype=torch.int32)
        if total:
            logits.index_copy_(0, order, torch.cat(total))
        name, row = self.weights.of("bm", stage)
        logits += (getattr(self.weights, name)[row] + _HALF).index_select(0, group)
        return logits.bitwise_right_shift_(WEIGHT_BITS)

    def product(self, inputs: Tensor, factor: str, row: int | tuple[int, int]) -> Tensor:
        """A matrix product (n, N) int32 of inputs (n, K) int8 with one of the matrices of a tensor."""
        if self._bytes is not None:
            return torch._int_mm(inputs, self._bytes[factor][row])
        return _product(inputs, self.factors[factor][row])


def _bytes_are_exact() -> bool:
    """Whether products of 8-bit integers are fast here, and exact.

    Without instructions for them, oneDNN adds pairs of products in 16 bits, which is too few.
    """
    known = capabilities()
    if not any(known.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8")):
        return False
    if not hasattr(torch, "_int_mm"):
        return False
    largest = torch.full((64, 128), ACTIVATION_MAX, dtype=torch.int8)
    signs = torch.tensor([[1], [-1]]).repeat(32, 1).to(torch.int8)
    expected = (signs * largest).float() @ largest.float().T
    return torch.equal(torch._int_mm(signs * largest, largest.T.contiguous()).float(), expected)


class ContextState:
    """What is known of some tiles while their stages are coded one after the other.

    For every stage, for all of its passes: `group_frequencies`, then `member_frequencies`, then `update`. Arrays have
    a row for every position of the pass, tile by tile, in raster order.
    """

    def __init__(self, model: ContextModel, count: int, rows: int, columns: int) -> None:
        self.model = model
        weights = model.weights
        # A border of zeros around every tile: outside, nothing is known.
        padded = count, rows + 2 * BORDER, columns + 2 * BORDER
        self.before = torch.zeros(*padded, model.channels, dtype=torch.int16)
        self.current = torch.zeros(*padded, model.channels, dtype=torch.int8)
        tiles = rows * columns * torch.arange(count)[:, None]

        def layout(passes: list[Tensor], around: list[list[tuple[int, int]]], border: int) -> _Layout:
            wide = count, rows + 2 * border, columns + 2 * border
            inside = torch.arange(math.prod(wide)).view(wide)[:, border:-border, border:-border].flatten(1)
            return _Layout(
                passes,
                [(tiles + positions).flatten() for positions in passes],
                [inside[:, positions].flatten() for positions in passes],
                [torch.tensor([y * wide[2] + x for y, x in offsets]) for offsets in around],
            )

        self._later = self._layout = layout(checkerboard(rows, columns), AROUND[-2:], BORDER)
        self._known_maps = self.current
        if weights.own_first:
            passes = interlaced(rows, columns)
            self._layout = layout(passes, AROUND_FIRST, BORDER_FIRST)
            self._layout_narrow = layout(passes, AROUND, BORDER)
            wide = count, rows + 2 * BORDER_FIRST, columns + 2 * BORDER_FIRST
            self._known_maps = torch.zeros(*wide, model.first_embedding.shape[1], dtype=torch.int8)
        elif weights.v0 is not None:
            self._layout = layout(interlaced(rows, columns), AROUND, BORDER)
        self.stage = 0
        self.which = 0
        self._base: Tensor | None = None
        self._hidden: Tensor | None = None

    @property
    def passes(self) -> list[Tensor]:
        """The positions of every pass of the current stage in a tile."""
        return self._layout.passes

    def _known(self) -> Tensor:
        """What the current pass knows of its stage: embeddings, side by side, at positions of the passes before."""
        places, around = self._layout.places[self.which], self._layout.around[self.which]
        maps = self._known_maps.flatten(0, 2)
        return torch.cat([maps.index_select(0, places + step) for step in around.tolist()], 1)

    @torch.inference_mode()
    def group_frequencies(self) -> np.ndarray:
        """Frequencies (n, G) of the groups at the positions of the current pass."""
        model, stage, rows = self.model, self.stage, self._layout.rows[self.which]
        known, bias = model.weights.of_pass(stage, self.which)
        if stage == 0:
            # There are no stages before.
            total = torch.zeros(len(rows), len(bias), dtype=torch.int32)
        else:
            if self.which == 0:
                before = self.before.clamp(-ACTIVATION_MAX, ACTIVATION_MAX).to(torch.int8)
                patches = _patches(before, NEIGHBOURHOOD, BORDER)
                self._base = model.product(patches, *model.weights.of("w1", stage))
            total = self._base.index_select(0, rows)
        if self.which:
            total += model.product(self._known(), *known)
        total += bias + _HALF
        hidden = _clamped(total.bitwise_right_shift_(WEIGHT_BITS))
        self._hidden = _clamped(model.layer(hidden, "w2", "b2", stage))
        return model.frequencies(model.layer(self._hidden, "wg", "bg", stage))

    @torch.inference_mode()
    def member_frequencies(self, groups: np.ndarray) -> np.ndarray:
        """Frequencies (n, M) of the members, given the groups (n,)."""
        model, stage = self.model, self.stage
        group = torch.from_numpy(groups).long()
        hidden = _clamped(model.layer(self._hidden, "w3", "e3", stage, group))
        return model.frequencies(model.member_logits(hidden, stage, group))

    @torch.inference_mode()
    def update(self, indices: np.ndarray) -> None:
        """Take in the indices (n,) of the current pass, and go to the next pass or stage."""
        symbols = torch.from_numpy(indices).long()
        places = self._layout.places[self.which]
        embedded = self.model.embedding[self.stage].index_select(0, symbols)
        if self._known_maps is self.current:
            self.current.flatten(0, 2).index_copy_(0, places, embedded)
        else:
            own = self.model.first_embedding.index_select(0, symbols)
            self._known_maps.flatten(0, 2).index_copy_(0, places, own)
            places = self._layout_narrow.places[self.which]
            self.current.flatten(0, 2).index_copy_(0, places, embedded)
        self.which += 1
        if self.which == len(self.passes):
            self.before += self.current
            self.current.zero_()
            self.stage, self.which = self.stage + 1, 0
            self._layout, self._known_maps = self._later, self.current


@dataclass
class _Layout:
    """Where the passes of a stage have their positions, one entry per pass.

    Attributes:
        passes: positions in a tile.
        rows: among all positions of all tiles.
        places: among the positions of all tiles with their borders.
        around: distances, among the latter, from a position to those that it depends on.
    """

    passes: list[Tensor]
    rows: list[Tensor]
    places: list[Tensor]
    around: list[Tensor]


def _double(offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(2 * y, 2 * x) for y, x in offsets]


def _turned(offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """By 45 degrees, and longer by the square root of two."""
    return [(y - x, y + x) for y, x in offsets]


# Positions around one, from the first to the last that the context model looks at.
NEIGHBOURHOOD = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
CROSS = [(-1, 0), (0, -1), (0, 1), (1, 0)]
_DIAGONALS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
BORDER = 2
# For each of five passes: where it looks at its own stage. Two passes are as the last two.
AROUND = [[], _double(_DIAGONALS), _double(CROSS), _DIAGONALS, CROSS]
# The same in a first stage with a model of its own: with what is next to that, by knight's moves on the pass's grid.
NEAREST = [*CROSS, *((y, x) for y in (-2, -1, 1, 2) for x in (-2, -1, 1, 2) if abs(y) != abs(x))]
AROUND_FIRST = [[], _turned(_double(NEAREST)), _double(NEAREST), _turned(NEAREST), NEAREST]
BORDER_FIRST = 6


def checkerboard(rows: int, columns: int) -> list[Tensor]:
    """The positions of two passes, each in raster order: even row + column, then odd."""
    odd = (torch.arange(rows)[:, None] + torch.arange(columns)) % 2
    return [(odd == which).flatten().nonzero().flatten() for which in (0, 1)]


def interlaced(rows: int, columns: int) -> list[Tensor]:
    """The positions of five passes, each in raster order: a grid of every fourth row and column, and its centres, again
    and again on half the distance, diagonally and straight in turn."""
    row, column = torch.arange(rows)[:, None], torch.arange(columns)
    odd = (row + column) % 2
    number = torch.where(row % 2 == 1, 3, torch.where((row + column) % 4 == 2, 2, row % 4 // 2))
    number = torch.where(odd == 1, 4, number)
    return [(number == which).flatten().nonzero().flatten() for which in range(5)]


def _patches(padded: Tensor, offsets: list[tuple[int, int]], border: int) -> Tensor:
    """Shifted copies of maps (T, h, w, E) with a border, side by side: (T * h * w, len(offsets) * E)."""
    rows, columns = (side - 2 * border for side in padded.shape[1:3])
    shifted = [
        padded[:, border + y : border + y + rows, border + x : border + x + columns] for y, x in offsets
    ]
    return torch.cat(shifted, -1).flatten(0, 2)


def _product(hidden: Tensor, factor: Tensor) -> Tensor:
    return (hidden.to(factor.dtype) @ factor.T).to(torch.int32)


def _clamped(total: Tensor) -> Tensor:
    """Activations (int8) of a shifted sum, which is overwritten."""
    return total.clamp_(0, ACTIVATION_MAX).to(torch.int8)
