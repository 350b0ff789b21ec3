"""Context model in integers: frequencies of each index, given the indices decoded before it.

Weights and embeddings have 8 bits and activations 7. A shift follows each layer, and exp is a table. Matrix
products run in float32 on integer values whose sums stay below 2**24. So they are exact in any order, on any
number of threads and on any machine. Both factors have at most 7 bits and a sign, so they are exact in
bfloat16 and TF32 too, in case a user has enabled those.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vqcodec.entropy.features import base_features
from vqcodec.entropy.layers import ContextLayers, Row
from vqcodec.entropy.passes import COARSER, NEIGHBOURHOOD, Grid, around, gathered
from vqcodec.entropy.weights import (
    ACTIVATION_MAX,
    EIGHT_BIT,
    RATE_BITS,
    WEIGHT_BITS,
    ContextWeights,
)
from vqcodec.forks import operation, settle
from vqcodec.model.config import Layer
from vqcodec.runtime.device import capabilities

FREQUENCY_SUM = 1 << 16
# Added before a shift, to round; once per sum, with the bias that every sum has.
_HALF = 1 << WEIGHT_BITS - 1
_WITHOUT_HALF = "r1"
# exp(-d / UNIT), d = 0, 1, ..., is in units of 2**-14.
_EXP_ONE = 1 << 14
# Products of fewer rows are faster in float32.
_LEAST_ROWS = 16


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
    """Computes the frequencies of one layer after another, identically for coder and decoder.

    Args:
        weights: the integer weights.
        layers: planes of indices of the model, in the order in which they are coded.

    Attributes:
        embedding: of each layer, (K, E) int8.
        own: of each layer, the embedding that its own passes look at, (K, F) int8.

    Raises:
        ValueError: the weights are not of these layers.
    """

    def __init__(self, weights: ContextWeights, layers: Sequence[Layer]) -> None:
        if len(weights.layers) != len(layers):
            raise ValueError(f"a context model of {len(weights.layers)} layers for {len(layers)}")
        self.describe(layers)
        self.weights = weights
        # Convert the matrix factors to float32 once. Biases stay integers, and include the half that rounds.
        self._factors: list[dict[str, Tensor]] = []
        self._biases: list[dict[str, Tensor]] = []
        self._bytes: list[dict[str, Tensor]] | None = [] if _bytes_are_exact() else None
        for tensors in weights.layers:
            factors = {name: tensor.float() for name, tensor in tensors.items() if name in EIGHT_BIT}
            biases = {
                name: tensor if name == _WITHOUT_HALF else tensor + _HALF
                for name, tensor in tensors.items()
                if name not in EIGHT_BIT
            }
            self._factors.append(factors)
            self._biases.append(biases)
            if self._bytes is not None:
                self._bytes.append(
                    {name: factor.to(torch.int8).mT.contiguous() for name, factor in factors.items()}
                )
        self.embedding = [tensors["embedding"].to(torch.int8) for tensors in weights.layers]
        self.own = [tensors.get("own", tensors["embedding"]).to(torch.int8) for tensors in weights.layers]
        self._exp = exp_table()

    def looks_at(self, layer: int, name: str) -> bool:
        """Whether a layer has a matrix of this name (w1, u1, c1)."""
        return name in self._factors[layer]

    @torch.inference_mode()
    def start(
        self,
        count: int,
        rows: int,
        columns: int,
        rate: int = 0,
        base: np.ndarray | None = None,
        steps: np.ndarray | None = None,
    ) -> ContextState:
        """Start coding some tiles of one size.

        Args:
            count, rows, columns: number of tiles, and their size in positions of the coarsest grid.
            rate: point of the rate dial, 0..255.
            base: (count, 3, rows, columns) integers; `None` if the model has no base.
            steps: (count,) or (count, rows, columns) integers; `None` if the model has no base.
        """
        settle()
        features = None if base is None or steps is None else base_features(base, steps)
        return ContextState(self, Grid(count, rows, columns), rate, features)

    def group_frequencies(self, layer: int, hidden: Tensor) -> Tensor:
        """Return the frequencies (n, G + 1) int32 of the first symbol, given activations (n, H)."""
        return self._frequencies(self.group_logits(layer, hidden))

    def member_frequencies(self, layer: int, hidden: Tensor, group: Tensor) -> Tensor:
        """Return the frequencies (n, M) int32 of the members, given activations (n, H) and groups (n,) int64."""
        if len(group) == 0:
            return torch.zeros(0, self.members[layer], dtype=torch.int32)
        logits, order = self.member_logits(layer, hidden, group)
        return torch.empty_like(logits).index_copy_(0, order, self._frequencies(logits))

    def product(self, inputs: Tensor, layer: int, name: str, row: Row = None) -> Tensor:
        """Multiply inputs (n, C) with the transpose of a matrix (N, C): (n, N) int32.

        Args:
            inputs: int8, or integers of that range as floats.
            layer: number of the layer.
            name: name of the tensor that holds the matrix.
            row: which matrix of the tensor, if there are several.
        """
        factor = self._factors[layer][name]
        factor = factor if row is None else factor[row]
        if len(inputs) == 0:
            return torch.zeros(0, factor.shape[0], dtype=torch.int32)
        if self._bytes is not None and len(inputs) > _LEAST_ROWS:
            matrix = self._bytes[layer][name]
            with operation:
                return torch._int_mm(inputs.to(torch.int8), matrix if row is None else matrix[row])
        return (inputs.to(factor.dtype) @ factor.T).to(torch.int32)

    def bias(self, layer: int, name: str, row: Row = None) -> Tensor:
        bias = self._biases[layer][name]
        return bias if row is None else bias[row]

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
    """The known part of some tiles, while their layers are coded one after another.

    For each layer, call `begin`; then for each pass `group_frequencies`, `member_frequencies` and `update`; then
    `end`. Arrays have one row per position of the pass that goes on, tile by tile, in raster order.

    Args:
        model: the context model.
        grid: the tiles.
        rate: point of the rate dial, 0..255.
        features: of the base, (count, rows, columns, C) int8; `None` if the model has no base.

    Attributes:
        plane: indices of the layer, (positions,) int64, tile by tile; 0 where none is known yet.
    """

    def __init__(self, model: ContextModel, grid: Grid, rate: int, features: np.ndarray | None) -> None:
        self._model = model
        self._rate = rate >> (8 - RATE_BITS)
        self._features = None if features is None else torch.from_numpy(features).flatten(0, 2)
        count, rows, columns = grid.shape
        # By scale: the tiles, the sums of the embeddings of the layers that are known, and of which band which
        # positions go on.
        self._grids = {1: grid}
        self._before: dict[int, Tensor] = {}
        self._going: dict[int, Tensor] = {}
        if any(layer.scale == 2 for layer in model.layers):
            self._grids[2] = Grid(count, 2 * rows, 2 * columns)
            self._parent, self._place = grid.coarser()
        self.plane: Tensor
        # Set by `begin`: the layer, the positions that go on with their passes, what is known of them but for their
        # own layer, and what is known of that.
        self._layer = -1
        self._alive: Tensor
        self._passes: Tensor
        self._total: Tensor
        self._own: Tensor
        # Set by each pass: the rows of it among those that go on, and the activations.
        self._which: int
        self._rows: Tensor
        self._hidden: Tensor
        self._coded: Tensor

    def passes(self) -> int:
        """Number of passes over the current layer."""
        return len(around(self._layer))

    @torch.inference_mode()
    def begin(self, layer: int) -> None:
        """Begin a layer; all layers before are known."""
        model, self._layer, self._which = self._model, layer, -1
        scale, band = model.layers[layer].scale, model.layers[layer].band
        grid = self._grids[scale]
        size = len(grid.inside)
        self.plane = torch.zeros(size, dtype=torch.int64)
        going = self._going.get(band)
        self._alive = torch.arange(size) if going is None else going.nonzero().flatten()
        self._passes = grid.passes(layer).index_select(0, self._alive)
        self._own = grid.maps(model.own[layer].shape[1], torch.int8)
        # Dead positions count as index 0 from the start.
        if len(self._alive) < size:
            dead = torch.ones(size, dtype=torch.bool)
            dead[self._alive] = False
            self._own[grid.inside[dead]] = model.own[layer][0]
        self._total = self._known_before(grid, scale)

    def _known_before(self, grid: Grid, scale: int) -> Tensor:
        """The input of the first activation of all positions that go on, but for their own layer."""
        model, layer, alive = self._model, self._layer, self._alive
        total = model.bias(layer, "r1", self._rate).repeat(len(alive), 1)
        if model.looks_at(layer, "w1"):
            near = self._clamped(scale)
            total += model.product(gathered(near, grid.inside[alive], grid.steps(NEIGHBOURHOOD)), layer, "w1")
        parents = self._parent[alive] if scale == 2 else alive
        if model.looks_at(layer, "u1"):
            coarse, places = self._clamped(1), self._place[alive]
            for place, offsets in enumerate(COARSER):
                rows = (places == place).nonzero().flatten()
                beside = gathered(coarse, self._grids[1].inside[parents[rows]], self._grids[1].steps(offsets))
                total.index_add_(0, rows, model.product(beside, layer, "u1", place))
        if model.looks_at(layer, "c1") and self._features is not None:
            # Positions of one square share its features.
            of_base = model.product(self._features, layer, "c1")
            total += of_base.index_select(0, parents)
        return total

    def _clamped(self, scale: int) -> Tensor:
        return self._before[scale].clamp(-ACTIVATION_MAX, ACTIVATION_MAX).to(torch.int8)

    @torch.inference_mode()
    def next_pass(self) -> tuple[np.ndarray, np.ndarray]:
        """Go to the next pass over the layer.

        Returns:
            the positions that it codes, among those of all tiles, and how many of them each tile has; int64.
        """
        self._which += 1
        self._rows = (self._passes == self._which).nonzero().flatten()
        positions = self._alive[self._rows].numpy()
        count = self._grids[1].shape[0]
        return positions, np.bincount(positions // (len(self.plane) // count), minlength=count)

    @torch.inference_mode()
    def group_frequencies(self) -> np.ndarray:
        """Return the frequencies (n, G + 1) of the first symbol at the positions of the current pass."""
        model, layer, which = self._model, self._layer, self._which
        total = self._total.index_select(0, self._rows) + model.bias(layer, "b1", which)
        if which:
            grid = self._grids[model.layers[layer].scale]
            places = grid.inside[self._alive[self._rows]]
            known = gathered(self._own, places, grid.steps(around(layer)[which]))
            total += model.product(known, layer, "v1", which - 1)
        self._hidden = model.hidden(layer, total)
        return model.group_frequencies(layer, self._hidden).numpy()

    @torch.inference_mode()
    def member_frequencies(self, symbols: np.ndarray) -> np.ndarray:
        """Return the frequencies (m, M) of the members, given the first symbols (n,), m of which are not 0."""
        first = torch.from_numpy(symbols).long()
        going = first.nonzero().flatten()
        hidden = self._hidden.index_select(0, going)
        return self._model.member_frequencies(self._layer, hidden, first.index_select(0, going) - 1).numpy()

    @torch.inference_mode()
    def update(self, indices: np.ndarray) -> None:
        """Add the indices (n,) of the current pass."""
        chosen = torch.from_numpy(indices).long()
        positions = self._alive[self._rows]
        self.plane[positions] = chosen
        model, layer = self._model, self._layer
        grid = self._grids[model.layers[layer].scale]
        self._own.index_copy_(0, grid.inside[positions], model.own[layer].index_select(0, chosen))

    @torch.inference_mode()
    def end(self) -> None:
        """End a layer: all its indices are known."""
        model, layer = self._model, self._layer
        scale, band = model.layers[layer].scale, model.layers[layer].band
        grid, embedding = self._grids[scale], model.embedding[layer]
        if scale not in self._before:
            self._before[scale] = grid.maps(embedding.shape[1], torch.int16)
        added = embedding.index_select(0, self.plane).to(torch.int16)
        self._before[scale].index_add_(0, grid.inside, added)
        if model.layers[layer].ends:
            self._going[band] = self.plane != 0
