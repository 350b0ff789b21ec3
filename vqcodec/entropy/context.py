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
from vqcodec.entropy.integers import bytes_are_exact, frequencies
from vqcodec.entropy.layers import ContextLayers, Row
from vqcodec.entropy.passes import COARSER, NEIGHBOURHOOD, Grid, around, gathered, scatter
from vqcodec.entropy.weights import (
    ACTIVATION_MAX,
    EIGHT_BIT,
    RATE_BITS,
    WEIGHT_BITS,
    ContextWeights,
)
from vqcodec.forks import operation, settle
from vqcodec.model.config import Layer
from vqcodec.planes import Planes

# Added before a shift, to round; once per sum, with the bias that every sum has.
_HALF = 1 << WEIGHT_BITS - 1
_WITHOUT_HALF = "r1"
# Products of fewer rows are faster in float32.
_LEAST_ROWS = 16


class ContextModel(ContextLayers):
    """Computes the frequencies of one layer after another, identically for coder and decoder.

    Args:
        weights: the integer weights.
        layers: planes of indices of the model, in the order in which they are coded.
        has_base: whether the model has a base.

    Attributes:
        embedding: of each layer, (K, E) int8.
        own: of each layer, the embedding that its own passes look at, (K, F) int8.

    Raises:
        ValueError: the weights are not of these layers.
    """

    def __init__(self, weights: ContextWeights, layers: Sequence[Layer], has_base: bool) -> None:
        weights.check(layers, has_base)
        self.describe(layers)
        self._has_base = has_base
        self.weights = weights
        # Convert the matrix factors to float32 once. Biases stay integers, and include the half that rounds.
        self._factors: list[dict[str, Tensor]] = []
        self._biases: list[dict[str, Tensor]] = []
        self._bytes: list[dict[str, Tensor]] | None = [] if bytes_are_exact() else None
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

        Raises:
            ValueError: there is a base and the model has none, or the other way round.
        """
        if not (base is not None) == (steps is not None) == self._has_base:
            raise ValueError("tiles have a base and the model has none, or the other way round")
        settle()
        features = None if base is None or steps is None else base_features(base, steps)
        return ContextState(self, Grid(count, rows, columns), rate, features)

    def given(self, planes: Planes, layer: int) -> ContextState:
        """Know a layer of planes, all layers before it and the base, for frequencies at any positions of the layer.

        Call `look_at`, then `group_frequencies` and `member_frequencies`. They follow from the neighbours of a
        position, not from its own index. `update` changes the indices there, for all that comes after.

        Args:
            planes: of one tile or of any part of a picture, up to this layer at least.
            layer: number of the layer.
        """
        base = None if planes.base is None else planes.base[None]
        steps = None if planes.steps is None else planes.steps[None]
        state = self.start(1, *planes.grid, planes.rate, base, steps)
        for number, plane in enumerate(planes.layers[:layer]):
            state.know(number, plane.reshape(-1))
        state.begin(layer)
        state.look_at(state.alive)
        state.update(planes.layers[layer].reshape(-1)[state.alive].astype(np.int64))
        return state

    def group_frequencies(self, layer: int, hidden: Tensor) -> Tensor:
        """Return the frequencies (n, G + 1) int32 of the first symbol, given activations (n, H)."""
        return frequencies(self.group_logits(layer, hidden))

    def member_frequencies(self, layer: int, hidden: Tensor, group: Tensor) -> Tensor:
        """Return the frequencies (n, M) int32 of the members, given activations (n, H) and groups (n,) int64."""
        if len(group) == 0:
            return torch.zeros(0, self.members[layer], dtype=torch.int32)
        order = torch.from_numpy(group.to(torch.int16).numpy().argsort(kind="stable"))
        logits = self.member_logits(layer, hidden.index_select(0, order), group.index_select(0, order))
        return torch.empty_like(logits).index_copy_(0, order, frequencies(logits))

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
        # A caller's autocast would round the sums to bfloat16.
        with torch.autocast("cpu", enabled=False):
            return (inputs.to(factor.dtype) @ factor.T).to(torch.int32)

    def bias(self, layer: int, name: str, row: Row = None) -> Tensor:
        bias = self._biases[layer][name]
        return bias if row is None else bias[row]

    def shift(self, total: Tensor) -> Tensor:
        return total.bitwise_right_shift_(WEIGHT_BITS)

    def clamp(self, values: Tensor) -> Tensor:
        return values.clamp_(0, ACTIVATION_MAX).to(torch.int8)


class ContextState:
    """The known part of some tiles, while their layers are coded one after another.

    For each layer, call `begin`; then for each pass `next_pass`, `group_frequencies`, `member_frequencies` and
    `update`; then `end`. Arrays have one row per position of the pass that goes on, tile by tile, in raster order.

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
        # Set by `begin`: the layer, the positions that go on with their passes, and what is known of the grid and of
        # the layer, at all positions with borders.
        self._layer = -1
        self._alive: Tensor
        self._passes: Tensor
        self._near: Tensor
        self._own: Tensor
        # Sums that positions share, with the biases that all have, and which of them is that of each position.
        self._shared: Tensor
        self._share: Tensor
        # Set by each pass: its number, its positions, and the activations there.
        self._which: int
        self._positions: Tensor
        self._hidden: Tensor

    def passes(self) -> int:
        """Number of passes over the current layer."""
        return len(around(self._layer))

    @property
    def alive(self) -> np.ndarray:
        """Positions that go on in the current layer, (n,) int64, among those of all tiles."""
        return self._alive.numpy()

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
        if going is not None:
            self._own[grid.inside[~going]] = model.own[layer][0]
        if model.looks_at(layer, "w1"):
            self._near = self._clamped(scale)
        self._share_sums(scale)

    def _share_sums(self, scale: int) -> None:
        """Compute what the base and the coarser grid tell, and the bias of the rate, once for all that share it."""
        model, layer, grid = self._model, self._layer, self._grids[1]
        # Squares of the coarsest grid in which any position goes on, and the number of each among them.
        needed = torch.zeros(len(grid.inside), dtype=torch.bool)
        needed[self._parent[self._alive] if scale == 2 else self._alive] = True
        squares, number = needed.nonzero().flatten(), needed.cumsum(0) - 1
        bias = model.bias(layer, "r1", self._rate)
        self._shared = bias.expand(len(squares), -1)
        if self._features is not None:
            self._shared = model.product(self._features.index_select(0, squares), layer, "c1") + bias
        self._share = number[self._parent] if scale == 2 else number
        if model.looks_at(layer, "u1"):
            coarse, inside = self._clamped(1), grid.inside[squares]
            sums = torch.empty(len(COARSER), *self._shared.shape, dtype=torch.int32)
            for place, offsets in enumerate(COARSER):
                beside = gathered(coarse, inside, grid.steps(offsets))
                torch.add(model.product(beside, layer, "u1", place), self._shared, out=sums[place])
            self._shared = sums.flatten(0, 1)
            self._share += self._place * len(squares)

    def _clamped(self, scale: int) -> Tensor:
        return self._before[scale].clamp(-ACTIVATION_MAX, ACTIVATION_MAX).to(torch.int8)

    @torch.inference_mode()
    def next_pass(self) -> tuple[np.ndarray, np.ndarray]:
        """Go to the next pass over the layer.

        Returns:
            the positions that it codes, among those of all tiles, and how many of them each tile has; int64.
        """
        self._which += 1
        self._positions = self._alive[self._passes == self._which]
        positions, count = self._positions.numpy(), self._grids[1].shape[0]
        return positions, np.bincount(positions // (len(self.plane) // count), minlength=count)

    @torch.inference_mode()
    def look_at(self, positions: np.ndarray) -> None:
        """Go to any positions, as if they were those of the last pass. See `ContextModel.given`.

        Args:
            positions: (n,) int64, among those of all tiles, that go on.

        Raises:
            ValueError: a position has ended before this layer.
        """
        going = self._going.get(self._model.layers[self._layer].band)
        self._which, self._positions = self.passes() - 1, torch.from_numpy(positions.copy())
        if going is not None and not going[self._positions].all():
            raise ValueError(f"a position has ended before layer {self._layer}")

    @torch.inference_mode()
    def group_frequencies(self) -> np.ndarray:
        """Return the frequencies (n, G + 1) of the first symbol at the positions of the current pass."""
        model, layer, which = self._model, self._layer, self._which
        grid = self._grids[model.layers[layer].scale]
        places = grid.inside.index_select(0, self._positions)
        total = self._shared.index_select(0, self._share.index_select(0, self._positions))
        total += model.bias(layer, "b1", which)
        if model.looks_at(layer, "w1"):
            total += model.product(gathered(self._near, places, grid.steps(NEIGHBOURHOOD)), layer, "w1")
        if which:
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
        self.plane[self._positions] = chosen
        model, layer = self._model, self._layer
        inside = self._grids[model.layers[layer].scale].inside
        scatter(self._own, inside[self._positions], model.own[layer].index_select(0, chosen))

    @torch.inference_mode()
    def end(self) -> None:
        """End a layer: all its indices are known."""
        model, layer = self._model, self._layer
        scale, band = model.layers[layer].scale, model.layers[layer].band
        grid, embedding = self._grids[scale], model.embedding[layer]
        if scale not in self._before:
            self._before[scale] = grid.maps(embedding.shape[1], torch.int16)
        sums = grid.without_borders(self._before[scale])
        sums += embedding.index_select(0, self.plane).view(sums.shape)
        if model.layers[layer].ends:
            self._going[band] = self.plane != 0

    @torch.inference_mode()
    def know(self, layer: int, plane: np.ndarray) -> None:
        """Take indices (positions,) of a whole layer as known, without passes; all layers before are known."""
        self._layer, self.plane = layer, torch.from_numpy(plane.astype(np.int64))
        self.end()
