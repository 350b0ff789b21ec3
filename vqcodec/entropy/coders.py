"""Base and index planes to range coder streams and back, with the frequencies of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bitstream import FREQUENCY_BITS, TileReader, TileStream, TileWriter
from vqcodec.config import Layer
from vqcodec.entropy.base import BaseCoder
from vqcodec.entropy.context import ContextModel, ContextState
from vqcodec.planes import Planes

# Tiles of the same shape are coded side by side, so that the context model works on large matrices. More
# tiles at once would only take more memory.
TILES_AT_ONCE = 4


class IndexCoder(Protocol):
    """Codes the planes of tiles to streams, and decodes them."""

    def write(self, tiles: Sequence[Planes]) -> list[TileStream]:
        """Code tiles to one stream per tile."""

    def read(
        self, readers: Sequence[TileReader], grids: Sequence[tuple[int, int]], rate: int
    ) -> list[Planes]:
        """Decode tiles. They have as many stages as their readers hold.

        Args:
            readers: one per tile.
            grids: rows and columns of each tile.
            rate: point of the rate dial, 0..255.

        Raises:
            bitstream.IndexMismatch: the data is damaged, or was coded with other frequencies.
        """

    def bits(self, tile: Planes) -> list[np.ndarray]:
        """Return the rate of each index of a tile in bits, float32 planes like `tile.layers`."""


@dataclass
class _Symbols:
    """What a pass over a layer codes.

    Attributes:
        positions: (n,), among those of all tiles.
        counts: how many of them each tile has.
        first, first_tables: first symbols (n,) and their frequencies (n, G + 1).
        members, member_tables: members (m,) and their frequencies (m, M), where m of the first symbols are not 0.
    """

    positions: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    first_tables: np.ndarray
    members: np.ndarray
    member_tables: np.ndarray


class TableCoder:
    """Codes each index with the fixed frequencies of its layer, row by row. Implements `IndexCoder`.

    Args:
        tables: of each layer, (K,) integer frequencies that sum to 2**16.
        layers: planes of indices of the model.
        base: coder of the base; `None` for models without one.
    """

    def __init__(
        self, tables: Sequence[np.ndarray], layers: Sequence[Layer], base: BaseCoder | None = None
    ) -> None:
        self._tables = tables
        self._layers = layers
        self._base = base

    def write(self, tiles: Sequence[Planes]) -> list[TileStream]:
        writers = [TileWriter() for _ in tiles]
        _write_base(self._base, writers, tiles)
        for writer, tile in zip(writers, tiles, strict=True):
            for number, plane in enumerate(tile.layers):
                mask = going_on(self._layers, tile.layers[:number], plane.shape)
                if mask.any():
                    writer.encode(plane[mask], self._tables[number])
                writer.end_stage(plane)
        return [writer.finish() for writer in writers]

    def read(
        self, readers: Sequence[TileReader], grids: Sequence[tuple[int, int]], rate: int
    ) -> list[Planes]:
        tiles = _read_base(self._base, readers, grids, rate)
        for reader, tile, (rows, columns) in zip(readers, tiles, grids, strict=True):
            for number in range(reader.stages - tile.stages):
                scale = self._layers[number].scale
                plane = np.zeros((scale * rows, scale * columns), np.uint16)
                mask = going_on(self._layers, tile.layers, plane.shape)
                if mask.any():
                    plane[mask] = reader.decode(self._tables[number], int(mask.sum()))
                reader.end_stage(plane)
                tile.layers.append(plane)
        return tiles

    def bits(self, tile: Planes) -> list[np.ndarray]:
        found = []
        for number, plane in enumerate(tile.layers):
            costs = (FREQUENCY_BITS - np.log2(self._tables[number])).astype(np.float32)
            found.append(np.where(going_on(self._layers, tile.layers[:number], plane.shape), costs[plane], 0))
        return found


class ContextCoder:
    """Codes each index as group and member, with the frequencies of an integer context model.

    Implements `IndexCoder`. Within a layer, positions come in passes. Each pass codes the first symbols of all its
    positions in raster order, then all members.

    Args:
        model: the context model.
        base: coder of the base; `None` for models without one.
    """

    def __init__(self, model: ContextModel, base: BaseCoder | None = None) -> None:
        self._model = model
        self._base = base

    def write(self, tiles: Sequence[Planes]) -> list[TileStream]:
        writers = [TileWriter() for _ in tiles]
        _write_base(self._base, writers, tiles)
        for numbers in _alike([(*tile.grid, tile.stages) for tile in tiles]):
            together = [tiles[number] for number in numbers]
            state = self._start(together)
            for layer in range(len(together[0].layers)):
                planes = np.stack([tile.layers[layer] for tile in together])
                for symbols in self._coded(state, layer, planes):
                    ends = np.cumsum(symbols.counts)
                    for which, end in enumerate(ends):
                        _encode(writers[numbers[which]], symbols, slice(end - symbols.counts[which], end))
                for number, plane in zip(numbers, planes, strict=True):
                    writers[number].end_stage(plane)
        return [writer.finish() for writer in writers]

    def read(
        self, readers: Sequence[TileReader], grids: Sequence[tuple[int, int]], rate: int
    ) -> list[Planes]:
        tiles = _read_base(self._base, readers, grids, rate)
        kinds = [(*grid, reader.stages) for grid, reader in zip(grids, readers, strict=True)]
        for numbers in _alike(kinds):
            together = [tiles[number] for number in numbers]
            rows, columns, stages = kinds[numbers[0]]
            # Their number follows from the readers: without layers there is nothing to start.
            count = stages - together[0].stages
            if not count:
                continue
            state = self._start(together, (rows, columns))
            for layer in range(count):
                scale = self._model.layers[layer].scale
                self._read_layer(state, layer, [readers[number] for number in numbers])
                planes = state.plane.astype(np.uint16).reshape(-1, scale * rows, scale * columns)
                for which, number in enumerate(numbers):
                    readers[number].end_stage(planes[which])
                    tiles[number].layers.append(planes[which])
        return tiles

    def _read_layer(self, state: ContextState, layer: int, readers: Sequence[TileReader]) -> None:
        state.begin(layer)
        for _ in range(state.passes()):
            positions, counts = state.next_pass()
            if not len(positions):
                continue
            tables = np.split(state.group_frequencies(), np.cumsum(counts)[:-1])
            parts = [
                reader.decode(table) if len(table) else np.empty(0, np.int32)
                for reader, table in zip(readers, tables, strict=True)
            ]
            first = np.concatenate(parts)
            going = [int(np.count_nonzero(part)) for part in parts]
            tables = np.split(state.member_frequencies(first), np.cumsum(going)[:-1])
            members = np.zeros(len(first), np.int64)
            members[first != 0] = np.concatenate(
                [
                    reader.decode(table) if len(table) else np.empty(0, np.int32)
                    for reader, table in zip(readers, tables, strict=True)
                ]
            )
            state.update(self._model.indices(layer, first, members))
        state.end()

    def bits(self, tile: Planes) -> list[np.ndarray]:
        found = []
        state = self._start([tile])
        for layer, plane in enumerate(tile.layers):
            costs = np.zeros(plane.size, np.float32)
            for symbols in self._coded(state, layer, plane[None]):
                cost = FREQUENCY_BITS - np.log2(_chosen(symbols.first_tables, symbols.first))
                members = _chosen(symbols.member_tables, symbols.members)
                cost[symbols.first != 0] += FREQUENCY_BITS - np.log2(members)
                costs[symbols.positions] = cost
            found.append(costs.reshape(plane.shape))
        return found

    def _start(self, tiles: Sequence[Planes], grid: tuple[int, int] | None = None) -> ContextState:
        """Start on tiles of one grid, which those without a base cannot tell as long as they have no layers."""
        rows, columns = grid or tiles[0].grid
        if tiles[0].base is None:
            return self._model.start(len(tiles), rows, columns, tiles[0].rate)
        bases, steps = _bases(tiles)
        return self._model.start(len(tiles), rows, columns, tiles[0].rate, np.stack(bases), np.array(steps))

    def _coded(self, state: ContextState, layer: int, planes: np.ndarray) -> Iterator[_Symbols]:
        """Compute symbols and frequencies of a layer (tiles, rows, columns), pass by pass."""
        flat = planes.reshape(-1)
        state.begin(layer)
        for _ in range(state.passes()):
            positions, counts = state.next_pass()
            if not len(positions):
                continue
            indices = flat[positions].astype(np.int64)
            first, members = self._model.symbols(layer, indices)
            first_tables = state.group_frequencies()
            member_tables = state.member_frequencies(first)
            there = members[first != 0]
            yield _Symbols(positions, counts, first, first_tables, there, member_tables)
            state.update(indices)
        state.end()


def _encode(writer: TileWriter, symbols: _Symbols, rows: slice) -> None:
    """Code the symbols of one tile."""
    first = symbols.first[rows]
    if not len(first):
        return
    writer.encode(first, symbols.first_tables[rows])
    before = int(np.count_nonzero(symbols.first[: rows.start]))
    there = slice(before, before + int(np.count_nonzero(first)))
    if there.start < there.stop:
        writer.encode(symbols.members[there], symbols.member_tables[there])


def _chosen(tables: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """The frequencies of symbols (n,) in tables (n, A)."""
    return np.take_along_axis(tables, symbols[:, None], 1)[:, 0]


def going_on(layers: Sequence[Layer], before: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Where the layer after some others is coded: positions that no earlier stage of its band has ended.

    Args:
        layers: planes of indices of the model.
        before: the layers before it.
        shape: rows and columns of the layer.
    """
    layer = layers[len(before)]
    for number in range(len(before) - 1, -1, -1):
        if layers[number].band == layer.band:
            return before[number] != 0 if layers[number].ends else np.ones(shape, bool)
    return np.ones(shape, bool)


def _write_base(base: BaseCoder | None, writers: Sequence[TileWriter], tiles: Sequence[Planes]) -> None:
    if base is not None:
        base.write(writers, *_bases(tiles))


def _bases(tiles: Sequence[Planes]) -> tuple[list[np.ndarray], list[int]]:
    """The base of each tile, and its step."""
    bases = [tile.base for tile in tiles if tile.base is not None]
    steps = [int(tile.steps[0, 0]) for tile in tiles if tile.steps is not None]
    return bases, steps


def _read_base(
    base: BaseCoder | None, readers: Sequence[TileReader], grids: Sequence[tuple[int, int]], rate: int
) -> list[Planes]:
    """Planes of tiles with their base alone."""
    if base is None:
        return [Planes([], rate) for _ in readers]
    found = base.read(readers, grids)
    return [Planes([], rate, planes, np.full(planes.shape[1:], step, np.uint8)) for planes, step in found]


def _alike(kinds: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Yield the numbers of tiles of one kind, at most `TILES_AT_ONCE` at a time."""
    by_kind: dict[tuple[int, ...], list[int]] = {}
    for number, kind in enumerate(kinds):
        by_kind.setdefault(kind, []).append(number)
    for numbers in by_kind.values():
        for start in range(0, len(numbers), TILES_AT_ONCE):
            yield numbers[start : start + TILES_AT_ONCE]
