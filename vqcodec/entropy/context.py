"""The context model in integers: frequencies of every index, from the indices decoded before it.

Weights and embeddings have 8 bits and activations 7. A shift stands between layers, and exp is a table. Matrix products
run in float32 on integer values whose sums stay below 2**24. So they are exact in any order, on any number of threads
and on any machine. Both factors have at most 7 bits and a sign, so they are exact in bfloat16 and TF32 too, should a
user have allowed those.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vqcodec.entropy.layers import ContextLayers
from vqcodec.entropy.passes import (
    AROUND,
    AROUND_FIRST,
    BORDER,
    BORDER_FIRST,
    NEIGHBOURHOOD,
    Layout,
    checkerboard,
    interlaced,
    patches,
)
from vqcodec.entropy.weights import ACTIVATION_MAX, EIGHT_BIT, WEIGHT_BITS, ContextWeights
from vqcodec.runtime.device import capabilities

FREQUENCY_SUM = 1 << 16
# Added before a shift, so that it rounds.
_HALF = 1 << WEIGHT_BITS - 1
# exp(-d / UNIT) for d = 0, 1, ... is in units of 2**-14.
_EXP_ONE = 1 << 14


def exp_table() -> Tensor:
    """int32 table of exp(-d / 16), d = 0..255, in units of 2**-14, computed with integers only.

    A float exp may differ in the last bit between machines; exp(-1/16) with 62 fractional bits does not.
    """
    factor, scale, value, table = 4332278087304955804, 1 << 62, 1 << 62, []
    for _ in range(256):
        table.append((value * _EXP_ONE + scale // 2) // scale)
        value = value * factor // scale
    return torch.tensor(table, dtype=torch.int32)


class ContextModel(ContextLayers):
    """Computes the frequencies of one stage after the other, alike for coder and decoder.

    Args:
        weights: the integer weights.
    """

    def __init__(self, weights: ContextWeights) -> None:
        self.stages, self.codebook_size, self.channels = weights.embedding.shape
        _, self.groups, self.members = weights.first_bm.shape
        self.weights = weights
        tensors = weights.tensors()
        # Matrix factors are kept as float32 once; biases stay integers, and bring the half that rounds.
        self.factors = {name: tensors[name].float() for name in EIGHT_BIT}
        self._biases = {name: tensor + _HALF for name, tensor in tensors.items() if name not in EIGHT_BIT}
        self._bytes = None
        if _bytes_are_exact():
            self._bytes = {
                name: factor.to(torch.int8).mT.contiguous()
                for name, factor in self.factors.items()
                if not name.endswith("embedding")
            }
        self.embedding = weights.embedding.to(torch.int8)
        self.first_embedding = weights.first_embedding.to(torch.int8)[0]
        self._exp = exp_table()

    @torch.inference_mode()
    def start(self, count: int, rows: int, columns: int) -> ContextState:
        """Begin `count` tiles of rows x columns positions."""
        return ContextState(self, count, rows, columns)

    @staticmethod
    def last_pass(stage: int) -> int:
        """The number of the last pass over a stage."""
        return len(AROUND_FIRST if stage == 0 else AROUND) - 1

    def group_frequencies(self, stage: int, hidden: Tensor) -> np.ndarray:
        """Frequencies (n, G) of the groups, of activations (n, H)."""
        return self._frequencies(self.group_logits(stage, hidden)).numpy()

    def member_frequencies(self, stage: int, hidden: Tensor, group: Tensor) -> np.ndarray:
        """Frequencies (n, M) of the members, of activations (n, H) and the groups (n,) int64."""
        logits, order = self.member_logits(stage, hidden, group)
        return torch.empty_like(logits).index_copy_(0, order, self._frequencies(logits)).numpy()

    def product(self, inputs: Tensor, name: str, row: int | tuple[int, int]) -> Tensor:
        """A product (n, N) int32 of inputs (n, C) int8, or of whole numbers of that size as floats."""
        if len(inputs) == 0:
            return torch.zeros(0, self.factors[name][row].shape[0], dtype=torch.int32)
        if self._bytes is not None:
            return torch._int_mm(inputs.to(torch.int8), self._bytes[name][row])
        factor = self.factors[name][row]
        return (inputs.to(factor.dtype) @ factor.T).to(torch.int32)

    def bias(self, name: str, row: int | tuple[int, int]) -> Tensor:
        return self._biases[name][row]

    def shift(self, total: Tensor) -> Tensor:
        return total.bitwise_right_shift_(WEIGHT_BITS)

    def clamp(self, values: Tensor) -> Tensor:
        return values.clamp_(0, ACTIVATION_MAX).to(torch.int8)

    def _frequencies(self, logits: Tensor) -> Tensor:
        """Turn logits (n, A) int32 into frequencies (n, A) int32 of at least 1 that sum to 2**16."""
        largest, place = logits.max(1, keepdim=True)
        distance = (largest - logits).clamp_(max=len(self._exp) - 1)
        mass = self._exp.index_select(0, distance.flatten()).view_as(distance)
        # mass <= 2**14 and reciprocal <= 2**16, so the product fits into 31 bits.
        total = mass.sum(1, keepdim=True, dtype=torch.int32)
        reciprocal = (FREQUENCY_SUM - logits.shape[1]) * _EXP_ONE // total
        result = mass.mul_(reciprocal).bitwise_right_shift_(14).add_(1)
        left = FREQUENCY_SUM - result.sum(1, keepdim=True, dtype=torch.int32)
        return result.scatter_add_(1, place, left)


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
        self._model = model
        tiles = count, rows, columns
        # A border of zeros around every tile: outside, nothing is known.
        self._before = _framed(tiles, BORDER, model.channels, torch.int16)
        self._added = _framed(tiles, BORDER, model.channels, torch.int8)
        self._own = _framed(tiles, BORDER_FIRST, model.first_embedding.shape[1], torch.int8)
        passes = interlaced(rows, columns)
        self._layout = Layout.of(passes, AROUND_FIRST, BORDER_FIRST, tiles)
        self._added_layout = Layout.of(passes, AROUND_FIRST, BORDER, tiles)
        self._tiles = tiles
        self._stage = 0
        self._which = 0
        self._from_before: Tensor | None = None
        self._hidden: Tensor | None = None

    @property
    def passes(self) -> list[Tensor]:
        """The positions of every pass of the current stage in a tile."""
        return self._layout.passes

    @torch.inference_mode()
    def group_frequencies(self) -> np.ndarray:
        """Frequencies (n, G) of the groups at the positions of the current pass."""
        model, stage, which = self._model, self._stage, self._which
        rows = self._layout.rows[which]
        total = model.of_own_stage(stage, which, self._known() if which else None)
        if stage:
            if which == 0:
                before = self._before.clamp(-ACTIVATION_MAX, ACTIVATION_MAX).to(torch.int8)
                self._from_before = model.of_stages_before(stage, patches(before, NEIGHBOURHOOD, BORDER))
            total = self._from_before.index_select(0, rows) + total
        elif which == 0:
            total = total.repeat(len(rows), 1)
        self._hidden = model.hidden(stage, total)
        return model.group_frequencies(stage, self._hidden)

    @torch.inference_mode()
    def member_frequencies(self, groups: np.ndarray) -> np.ndarray:
        """Frequencies (n, M) of the members, given the groups (n,)."""
        return self._model.member_frequencies(self._stage, self._hidden, torch.from_numpy(groups).long())

    @torch.inference_mode()
    def update(self, indices: np.ndarray) -> None:
        """Take in the indices (n,) of the current pass, and go to the next pass or stage."""
        symbols = torch.from_numpy(indices).long()
        embedded = self._model.embedding[self._stage].index_select(0, symbols)
        self._added.flatten(0, 2).index_copy_(0, self._added_layout.places[self._which], embedded)
        if self._stage == 0:
            own = self._model.first_embedding.index_select(0, symbols)
            self._own.flatten(0, 2).index_copy_(0, self._layout.places[self._which], own)
        self._which += 1
        if self._which == len(self.passes):
            self._before += self._added
            self._added.zero_()
            # From here on a stage is looked at through the same embedding that later stages see it through.
            self._own = self._added
            self._stage, self._which = self._stage + 1, 0
            if self._stage == 1:
                self._layout = Layout.of(checkerboard(*self._tiles[1:]), AROUND, BORDER, self._tiles)
                self._added_layout = self._layout

    def _known(self) -> Tensor:
        """What the current pass knows of its stage: embeddings, side by side, at positions of the passes before."""
        places, around = self._layout.places[self._which], self._layout.around[self._which]
        maps = self._own.flatten(0, 2)
        return torch.cat([maps.index_select(0, places + step) for step in around.tolist()], 1)


def _framed(tiles: tuple[int, int, int], border: int, channels: int, dtype: torch.dtype) -> Tensor:
    count, rows, columns = tiles
    return torch.zeros(count, rows + 2 * border, columns + 2 * border, channels, dtype=dtype)
