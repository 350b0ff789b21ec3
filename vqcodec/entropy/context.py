"""Context model in integers: frequencies of each index, given the indices decoded before it.

Weights and embeddings have 8 bits and activations 7. A shift follows each layer, and exp is a table. Products are
exact (see `Factor`). So frequencies are the same on any number of threads and on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vqcodec.config import Layer
from vqcodec.entropy.features import base_features
from vqcodec.entropy.integers import Factor, frequencies
from vqcodec.entropy.layers import ContextLayers, Row
from vqcodec.entropy.passes import COARSER, NEIGHBOURHOOD, Grid, around, gathered, scatter
from vqcodec.entropy.weights import (
    ACTIVATION_MAX,
    EIGHT_BIT,
    RATE_BITS,
    WEIGHT_BITS,
    ContextWeights,
)

# Added before a shift, to round; once per sum, with the bias that every sum has.
_HALF = 1 << WEIGHT_BITS - 1
_WITHOUT_HALF = "r1"


class ContextModel(ContextLayers[np.ndarray]):
    """Computes the frequencies of one layer after another, identically for coder and decoder.

    Args:
        weights: the integer weights.
        layers: planes of indices of the model, in the order in which they are coded.
        has_base: whether the model has a base.
        of_bytes: see `Factor`.

    Attributes:
        embedding: of each layer, (K, E) int8.
        own: of each layer, the embedding that its own passes look at, (K, F) int8.

    Raises:
        ValueError: the weights are not of these layers.
    """

    def __init__(
        self, weights: ContextWeights, layers: Sequence[Layer], has_base: bool, of_bytes: bool | None = None
    ) -> None:
        weights.check(layers, has_base)
        self.describe(layers)
        self._has_base = has_base
        self.weights = weights
        # By layer, name and number of the matrix of that name.
        self._factors: list[dict[str, list[Factor]]] = []
        # Biases include the half that rounds.
        self._biases: list[dict[str, np.ndarray]] = []
        for arrays in weights.layers:
            self._factors.append(
                {
                    name: [Factor(matrix, of_bytes) for matrix in array.reshape(-1, *array.shape[-2:])]
                    for name, array in arrays.items()
                    if name in EIGHT_BIT
                }
            )
            self._biases.append(
                {
                    name: array if name == _WITHOUT_HALF else array + np.int32(_HALF)
                    for name, array in arrays.items()
                    if name not in EIGHT_BIT
                }
            )
        self.embedding = [arrays["embedding"].astype(np.int8) for arrays in weights.layers]
        self.own = [arrays.get("own", arrays["embedding"]).astype(np.int8) for arrays in weights.layers]

    def looks_at(self, layer: int, name: str) -> bool:
        """Whether a layer has a matrix of this name (w1, u1, c1)."""
        return name in self._factors[layer]

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
        features = None if base is None or steps is None else base_features(base, steps)
        return ContextState(self, Grid(count, rows, columns), rate, features)

    def group_frequencies(self, layer: int, hidden: np.ndarray) -> np.ndarray:
        """Return the frequencies (n, G + 1) int32 of the first symbol, given activations (n, H)."""
        return frequencies(self.group_logits(layer, hidden))

    def member_frequencies(self, layer: int, hidden: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Return the frequencies (n, M) int32 of the members, given activations (n, H) and groups (n,) int64."""
        if len(group) == 0:
            return np.zeros((0, self.members[layer]), np.int32)
        # Sorting 16-bit integers takes one pass.
        order = group.astype(np.int16).argsort(kind="stable")
        found = np.empty((len(group), self.members[layer]), np.int32)
        found[order] = frequencies(self.member_logits(layer, hidden.take(order, 0), group.take(order)))
        return found

    def product(self, inputs: np.ndarray, layer: int, name: str, row: Row = None) -> np.ndarray:
        return self._factors[layer][name][row or 0].of(inputs)

    def by_group(self, inputs: np.ndarray, layer: int, group: np.ndarray) -> np.ndarray:
        out = np.empty((len(inputs), self.members[layer]), np.int32)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        for number, start, end in zip(group[starts], starts, [*starts[1:], len(group)], strict=True):
            out[start:end] = self._factors[layer]["wm"][number].of(inputs[start:end])
        return out

    def bias(self, layer: int, name: str, row: Row | np.ndarray = None) -> np.ndarray:
        bias = self._biases[layer][name]
        return bias if row is None else bias[row]

    def shift(self, total: np.ndarray) -> np.ndarray:
        return np.right_shift(total, WEIGHT_BITS, out=total)

    def clamp(self, values: np.ndarray) -> np.ndarray:
        return values.clip(0, ACTIVATION_MAX, out=values).astype(np.int8)


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
        self._features = None if features is None else features.reshape(-1, features.shape[-1])
        count, rows, columns = grid.shape
        # By scale: the tiles, the sums of the embeddings of the layers that are known, and of which band which
        # positions go on.
        self._grids = {1: grid}
        self._before: dict[int, np.ndarray] = {}
        self._going: dict[int, np.ndarray] = {}
        if any(layer.scale == 2 for layer in model.layers):
            self._grids[2] = Grid(count, 2 * rows, 2 * columns)
            self._parent, self._place = grid.coarser()
        self.plane: np.ndarray
        # Set by `begin`: the layer, the positions that go on with their passes, and what is known of the grid and of
        # the layer, at all positions with borders.
        self._layer = -1
        self._alive: np.ndarray
        self._passes: np.ndarray
        self._near: np.ndarray
        self._own: np.ndarray
        # Sums that positions share, with the biases that all have, and which of them is that of each position.
        self._shared: np.ndarray
        self._share: np.ndarray
        # Set by each pass: its number, its positions, and the activations there.
        self._which: int
        self._positions: np.ndarray
        self._hidden: np.ndarray

    def passes(self) -> int:
        """Number of passes over the current layer."""
        return len(around(self._layer))

    @property
    def alive(self) -> np.ndarray:
        """Positions that go on in the current layer, (n,) int64, among those of all tiles."""
        return self._alive

    def begin(self, layer: int) -> None:
        """Begin a layer; all layers before are known."""
        model, self._layer, self._which = self._model, layer, -1
        scale, band = model.layers[layer].scale, model.layers[layer].band
        grid = self._grids[scale]
        size = len(grid.inside)
        self.plane = np.zeros(size, np.int64)
        going = self._going.get(band)
        self._alive = np.arange(size) if going is None else np.flatnonzero(going)
        self._passes = grid.passes(layer)[self._alive]
        self._own = grid.maps(model.own[layer].shape[1], np.int8)
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
        needed = np.zeros(len(grid.inside), bool)
        needed[self._parent[self._alive] if scale == 2 else self._alive] = True
        squares, number = np.flatnonzero(needed), needed.cumsum() - 1
        bias = model.bias(layer, "r1", self._rate)
        self._shared = np.broadcast_to(bias, (len(squares), len(bias)))
        if self._features is not None:
            self._shared = model.product(self._features.take(squares, 0), layer, "c1") + bias
        self._share = number[self._parent] if scale == 2 else number
        if model.looks_at(layer, "u1"):
            coarse, inside = self._clamped(1), grid.inside[squares]
            sums = np.empty((len(COARSER), *self._shared.shape), np.int32)
            for place, offsets in enumerate(COARSER):
                beside = gathered(coarse, inside, grid.steps(offsets))
                np.add(model.product(beside, layer, "u1", place), self._shared, out=sums[place])
            self._shared = sums.reshape(-1, sums.shape[2])
            self._share = self._share + self._place * len(squares)

    def _clamped(self, scale: int) -> np.ndarray:
        return self._before[scale].clip(-ACTIVATION_MAX, ACTIVATION_MAX).astype(np.int8)

    def next_pass(self) -> tuple[np.ndarray, np.ndarray]:
        """Go to the next pass over the layer.

        Returns:
            the positions that it codes, among those of all tiles, and how many of them each tile has; int64.
        """
        self._which += 1
        self._positions = self._alive[self._passes == self._which]
        positions, count = self._positions, self._grids[1].shape[0]
        return positions, np.bincount(positions // (len(self.plane) // count), minlength=count)

    def group_frequencies(self) -> np.ndarray:
        """Return the frequencies (n, G + 1) of the first symbol at the positions of the current pass."""
        model, layer, which = self._model, self._layer, self._which
        grid = self._grids[model.layers[layer].scale]
        places = grid.inside.take(self._positions)
        total = self._shared.take(self._share.take(self._positions), 0)
        total += model.bias(layer, "b1", which)
        if model.looks_at(layer, "w1"):
            total += model.product(gathered(self._near, places, grid.steps(NEIGHBOURHOOD)), layer, "w1")
        if which:
            known = gathered(self._own, places, grid.steps(around(layer)[which]))
            total += model.product(known, layer, "v1", which - 1)
        self._hidden = model.hidden(layer, total)
        return model.group_frequencies(layer, self._hidden)

    def member_frequencies(self, symbols: np.ndarray) -> np.ndarray:
        """Return the frequencies (m, M) of the members, given the first symbols (n,), m of which are not 0."""
        going = np.flatnonzero(symbols)
        group = symbols.take(going).astype(np.int64) - 1
        return self._model.member_frequencies(self._layer, self._hidden.take(going, 0), group)

    def update(self, indices: np.ndarray) -> None:
        """Add the indices (n,) of the current pass."""
        self.plane[self._positions] = indices
        model, layer = self._model, self._layer
        inside = self._grids[model.layers[layer].scale].inside
        scatter(self._own, inside[self._positions], model.own[layer].take(indices, 0))

    def end(self) -> None:
        """End a layer: all its indices are known."""
        model, layer = self._model, self._layer
        scale, band = model.layers[layer].scale, model.layers[layer].band
        grid, embedding = self._grids[scale], model.embedding[layer]
        if scale not in self._before:
            self._before[scale] = grid.maps(embedding.shape[1], np.int16)
        sums = grid.without_borders(self._before[scale])
        sums += embedding.take(self.plane, 0).reshape(sums.shape)
        if model.layers[layer].ends:
            self._going[band] = self.plane != 0
