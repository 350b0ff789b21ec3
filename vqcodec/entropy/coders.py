"""Index planes to range-coder streams and back, with the frequencies of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from bitstream import FREQUENCY_BITS, TileReader, TileStream, TileWriter
from vqcodec.entropy.context import ContextModel, ContextState

# Tiles of the same shape are coded side by side, so that the context model works on large matrices. More
# tiles at once would only take more memory.
TILES_AT_ONCE = 4


class IndexCoder(Protocol):
    """Codes the index planes of tiles to streams, and decodes them."""

    def write(self, tiles: Sequence[np.ndarray]) -> list[TileStream]:
        """Code tiles, each (s, rows, columns) integers, to one stream per tile."""

    def read(self, readers: Sequence[TileReader], shapes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Decode tiles to (s, rows, columns) uint16. The readers hold s stages each.

        Args:
            readers: one per tile.
            shapes: rows and columns of each tile.

        Raises:
            bitstream.IndexMismatch: the data is damaged, or was coded with other frequencies.
        """

    def bits(self, tile: np.ndarray) -> np.ndarray:
        """Return the rate of each index of a tile (s, rows, columns), in bits: float32 of the same shape."""


class TableCoder:
    """Codes each index with a fixed frequency table, chosen by stage and context. Implements `IndexCoder`.

    Each stage has two tables: one for positions where the stage before chose codeword 0 ("nothing to add"),
    context 1, and one for all others, context 0. Within a stage, the positions of context 0 come first, then
    those of context 1, each in raster order.

    Args:
        tables: (S, 2, K) integer frequencies; each row sums to 2**16.
    """

    def __init__(self, tables: np.ndarray) -> None:
        self.tables = tables

    def write(self, tiles: Sequence[np.ndarray]) -> list[TileStream]:
        return [self._write(planes) for planes in tiles]

    def read(self, readers: Sequence[TileReader], shapes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        return [self._read(reader, shape) for reader, shape in zip(readers, shapes, strict=True)]

    def bits(self, tile: np.ndarray) -> np.ndarray:
        out = np.empty(tile.shape, np.float32)
        for stage, plane in enumerate(tile):
            for context, mask in enumerate(_contexts(tile[:stage], plane.shape)):
                out[stage][mask] = FREQUENCY_BITS - np.log2(self.tables[stage, context][plane[mask]])
        return out

    def _write(self, planes: np.ndarray) -> TileStream:
        writer = TileWriter()
        for stage, plane in enumerate(planes):
            for context, mask in enumerate(_contexts(planes[:stage], plane.shape)):
                writer.encode(plane[mask], self.tables[stage, context])
            writer.end_stage(plane)
        return writer.finish()

    def _read(self, reader: TileReader, shape: tuple[int, int]) -> np.ndarray:
        planes = np.zeros((reader.stages, *shape), np.uint16)
        for stage, plane in enumerate(planes):
            for context, mask in enumerate(_contexts(planes[:stage], shape)):
                plane[mask] = reader.decode(self.tables[stage, context], int(mask.sum()))
            reader.end_stage(plane)
        return planes


def _contexts(before: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    after_zero = before[-1] == 0 if len(before) >= 2 else np.zeros(shape, bool)
    return ~after_zero, after_zero


class ContextCoder:
    """Codes each index as group and member, with the frequencies of an integer context model.

    Implements `IndexCoder`. Within a stage, positions come in passes. Each pass codes all groups in raster
    order, then all members.

    Args:
        model: the context model.
    """

    def __init__(self, model: ContextModel) -> None:
        self.model = model

    def write(self, tiles: Sequence[np.ndarray]) -> list[TileStream]:
        streams: dict[int, TileStream] = {}
        for numbers in _alike([planes.shape for planes in tiles]):
            planes = np.stack([tiles[number] for number in numbers])
            writers = [TileWriter() for _ in numbers]
            state = self.model.start(len(numbers), *planes.shape[2:])
            flat = planes.reshape(*planes.shape[:2], -1)
            for stage in range(planes.shape[1]):
                for _, groups, members in self._coded(state, flat[:, stage]):
                    for which, writer in enumerate(writers):
                        writer.encode(groups[0][which], groups[1][which])
                        writer.encode(members[0][which], members[1][which])
                for which, writer in enumerate(writers):
                    writer.end_stage(planes[which, stage])
            for number, writer in zip(numbers, writers, strict=True):
                streams[number] = writer.finish()
        return [streams[number] for number in range(len(tiles))]

    def read(self, readers: Sequence[TileReader], shapes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        tiles: dict[int, np.ndarray] = {}
        kinds = [(reader.stages, *shape) for reader, shape in zip(readers, shapes, strict=True)]
        for numbers in _alike(kinds):
            count, (stages, rows, columns) = len(numbers), kinds[numbers[0]]
            planes = np.zeros((count, stages, rows * columns), np.uint16)
            state = self.model.start(count, rows, columns)
            for stage in range(stages):
                for positions in state.passes:
                    tables = _per_tile(state.group_frequencies(), count)
                    groups = np.stack(
                        [readers[n].decode(table) for n, table in zip(numbers, tables, strict=True)]
                    )
                    tables = _per_tile(state.member_frequencies(groups.reshape(-1)), count)
                    members = np.stack(
                        [readers[n].decode(table) for n, table in zip(numbers, tables, strict=True)]
                    )
                    symbols = groups * self.model.members + members
                    planes[:, stage, positions.numpy()] = symbols
                    state.update(symbols.reshape(-1))
                for which, number in enumerate(numbers):
                    readers[number].end_stage(planes[which, stage].reshape(rows, columns))
            for which, number in enumerate(numbers):
                tiles[number] = planes[which].reshape(stages, rows, columns)
        return [tiles[number] for number in range(len(readers))]

    def bits(self, tile: np.ndarray) -> np.ndarray:
        stages, rows, columns = tile.shape
        out = np.empty((stages, rows * columns), np.float32)
        state = self.model.start(1, rows, columns)
        for stage, plane in enumerate(tile):
            for positions, *symbols in self._coded(state, plane.reshape(1, -1)):
                chosen = [np.take_along_axis(tables[0], s[0][:, None], 1)[:, 0] for s, tables in symbols]
                out[stage, positions] = 2 * FREQUENCY_BITS - np.log2(chosen).sum(0)
        return out.reshape(tile.shape)

    def _coded(self, state: ContextState, plane: np.ndarray) -> Iterator[tuple]:
        """Compute symbols and frequencies of a stage (tiles, positions), pass by pass.

        Yields:
            the positions of a pass, then for groups and for members the symbols (tiles, n) and their
            frequencies (tiles, n, G or M).
        """
        for positions in state.passes:
            indices = plane[:, positions.numpy()]
            groups, members = np.divmod(indices.astype(np.int32), self.model.members)
            group_tables = _per_tile(state.group_frequencies(), len(plane))
            member_tables = _per_tile(state.member_frequencies(groups.reshape(-1)), len(plane))
            yield positions.numpy(), (groups, group_tables), (members, member_tables)
            state.update(indices.reshape(-1))


def _alike(kinds: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Yield the numbers of tiles of one kind, at most `TILES_AT_ONCE` at a time."""
    by_kind: dict[tuple[int, ...], list[int]] = {}
    for number, kind in enumerate(kinds):
        by_kind.setdefault(kind, []).append(number)
    for numbers in by_kind.values():
        for start in range(0, len(numbers), TILES_AT_ONCE):
            yield numbers[start : start + TILES_AT_ONCE]


def _per_tile(frequencies: np.ndarray, count: int) -> np.ndarray:
    return frequencies.reshape(count, -1, frequencies.shape[-1])
