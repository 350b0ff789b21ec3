"""Context model in integers: frequencies of each index, given the indices decoded before it.

Weights and embeddings have 8 bits and activations 7. A shift follows each layer, and exp is a table. Matrix
products run in float32 on integer values whose sums stay below 2**24. So they are exact in any order, on any
number of threads and on any machine. Both factors have at most 7 bits and a sign, so they are exact in
bfloat16 and TF32 too, in case a user has enabled those.
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
from vqcodec.forks import operation, settle
from vqcodec.runtime.device import capabilities

FREQUENCY_SUM = 1 << 16
# Added before a shift, to round.
_HALF = 1 << WEIGHT_BITS - 1
# exp(-d / UNIT), d = 0, 1, ..., is in units of 2**-14.
_EXP_ONE = 1 << 14


def exp_table() -> Tensor:
    """Return a table of exp(-d / 16), d = 0..255, in units of 2**-14: (256,) int32.

    It is computed with integers only. A float exp may differ in the last bit between machines; exp(-1/16)
    with 62 fractional bits does not.
    """
    factor, scale, value, table = 4332278087304955804, 1 << 62, 1 << 62, []
    for _ in range(256):
        table.append((value * _EXP_ONE + scale // 2) // scale)
        value = value * factor // scale
    return torch.tensor(table, dtype=torch.int32)


class ContextModel(ContextLayers):
    """Computes the frequencies of one stage after another, identically for coder and decoder.

    Args:
        weights: the integer weights.

    Attributes:
        stages: S.
        codebook_size: K = G * M.
        channels: channels E of the embedding.
        groups: G.
        members: M.
        weights: the integer weights.
        factors: the 8-bit weights as float32, by name.
        embedding: (S, K, E) int8.
        first_embedding: (K, F) int8, the first stage's own embedding.
    """

    def __init__(self, weights: ContextWeights) -> None:
        self.stages, self.codebook_size, self.channels = weights.embedding.shape
        _, self.groups, self.members = weights.first_bm.shape
        self.weights = weights
        tensors = weights.tensors()
        # Convert the matrix factors to float32 once. Biases stay integers, and include the half that rounds.
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
        """Start coding `count` tiles of rows x columns positions."""
        settle()
        return ContextState(self, count, rows, columns)

    @staticmethod
    def last_pass(stage: int) -> int:
        """Return the number of the last pass over a stage, counted from 0."""
        return len(AROUND_FIRST if stage == 0 else AROUND) - 1

    def group_frequencies(self, stage: int, hidden: Tensor) -> np.ndarray:
        """Return the frequencies (n, G) of the groups, given activations (n, H)."""
        return self._frequencies(self.group_logits(stage, hidden)).numpy()

    def member_frequencies(self, stage: int, hidden: Tensor, group: Tensor) -> np.ndarray:
        """Return the frequencies (n, M) of the members, given activations (n, H) and groups (n,) int64."""
        logits, order = self.member_logits(stage, hidden, group)
        return torch.empty_like(logits).index_copy_(0, order, self._frequencies(logits)).numpy()

    def product(self, inputs: Tensor, name: str, row: int | tuple[int, int]) -> Tensor:
        """Multiply inputs (n, C) with the transpose of a matrix (N, C): (n, N) int32.

        Args:
            inputs: int8, or integers of that range as floats.
            name: name of the tensor that holds the matrix.
            row: which matrix of the tensor.
        """
        if len(inputs) == 0:
            return torch.zeros(0, self.factors[name][row].shape[0], dtype=torch.int32)
        if self._bytes is not None:
            with operation:
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
    """Return whether products of 8-bit integers are fast and exact on this machine.

    On CPUs without instructions for them, oneDNN adds pairs of products in 16 bits, which is too few.
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
    """The known part of some tiles, while their stages are coded one after another.

    For each pass over each stage, call `group_frequencies`, then `member_frequencies`, then `update`. Arrays
    have one row per position of the pass, tile by tile, in raster order.

    Args:
        model: the context model.
        count, rows, columns: number and size of the tiles, in latent positions.
    """

    def __init__(self, model: ContextModel, count: int, rows: int, columns: int) -> None:
        self._model = model
        tiles = count, rows, columns
        # Each tile has a border of zeros: outside, nothing is known.
        self._before = _framed(tiles, BORDER, model.channels, torch.int16)
        self._added = _framed(tiles, BORDER, model.channels, torch.int8)
        self._own = _framed(tiles, BORDER_FIRST, model.first_embedding.shape[1], torch.int8)
        passes = interlaced(rows, columns)
        self._layout = Layout.of(passes, AROUND_FIRST, BORDER_FIRST, tiles)
        self._added_layout = Layout.of(passes, AROUND_FIRST, BORDER, tiles)
        self._tiles = tiles
        self._stage = 0
        self._which = 0
        # Set by the first pass over each stage but stage 0.
        self._from_before: Tensor
        # Set by each pass.
        self._hidden: Tensor

    @property
    def passes(self) -> list[Tensor]:
        """Positions in a tile of each pass over the current stage, int64."""
        return self._layout.passes

    @torch.inference_mode()
    def group_frequencies(self) -> np.ndarray:
        """Return the frequencies (n, G) of the groups at the positions of the current pass."""
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
        """Return the frequencies (n, M) of the members, given the groups (n,)."""
        return self._model.member_frequencies(self._stage, self._hidden, torch.from_numpy(groups).long())

    @torch.inference_mode()
    def update(self, indices: np.ndarray) -> None:
        """Add the indices (n,) of the current pass, and go to the next pass or stage."""
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
            # After stage 0, a stage uses the same embedding for itself as later stages use for it.
            self._own = self._added
            self._stage, self._which = self._stage + 1, 0
            if self._stage == 1:
                self._layout = Layout.of(checkerboard(*self._tiles[1:]), AROUND, BORDER, self._tiles)
                self._added_layout = self._layout

    def _known(self) -> Tensor:
        """Return what the current pass knows of its own stage.

        These are the embeddings at neighbouring positions of earlier passes, side by side.
        """
        places, around = self._layout.places[self._which], self._layout.around[self._which]
        maps = self._own.flatten(0, 2)
        return torch.cat([maps.index_select(0, places + step) for step in around.tolist()], 1)


def _framed(tiles: tuple[int, int, int], border: int, channels: int, dtype: torch.dtype) -> Tensor:
    count, rows, columns = tiles
    return torch.zeros(count, rows + 2 * border, columns + 2 * border, channels, dtype=dtype)
