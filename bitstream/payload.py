"""The payload chunk: an index that locates and checks slices, then the slices, stage by stage."""

from collections.abc import Sequence

import numpy as np

from .chunks import Chunk, pack_varint, read_varints
from .errors import CorruptChunk, Truncated
from .header import Header
from .tiles import TileReader, TileStream, plane_check

_CHECK = np.dtype("<u2")


def pack_payload(header: Header, tiles: Sequence[TileStream]) -> bytes:
    """Encode the body of the payload chunk.

    Args:
        header: header that the tiles were coded with.
        tiles: one stream per tile, in raster order, each with `header.stages` slices.

    Raises:
        ValueError: the tiles do not fit the header.
    """
    if len(tiles) != header.tiles:
        raise ValueError(f"{len(tiles)} tiles, but the header says {header.tiles}")
    if any(not len(tile.slices) == len(tile.checks) == header.stages for tile in tiles):
        raise ValueError(f"a tile has not {header.stages} stages")
    slices = [tile.slices[stage] for stage in range(header.stages) for tile in tiles]
    lengths = b"".join(pack_varint(len(part)) for part in slices[:-1])
    checks = np.array([tile.checks for tile in tiles]).T.astype(_CHECK)
    return b"".join([lengths, checks.tobytes(), *slices])


class Payload:
    """The index of a payload, and its slices as far as the file holds them.

    Args:
        header: header of the file.
        chunk: its payload chunk.

    Raises:
        Truncated: the chunk is truncated inside the index.
        CorruptChunk: the index is invalid.
    """

    def __init__(self, header: Header, chunk: Chunk):
        count = header.slices
        least = count - 1 + _CHECK.itemsize * count
        if chunk.length < least:
            raise CorruptChunk(f"{chunk.length} bytes of payload cannot index {count} slices")
        if len(chunk.body) < least:
            raise _cut(chunk)
        try:
            lengths, size = read_varints(chunk.body, count - 1)
        except Truncated:
            raise _cut(chunk) from None
        begin = size + _CHECK.itemsize * count
        last = chunk.length - begin - int(lengths.sum())
        if last < 0:
            raise CorruptChunk(f"index and slices are {-last} bytes longer than the payload")
        if len(chunk.body) < begin:
            raise _cut(chunk)
        self._body = chunk.body
        self._missing = chunk.missing
        self._shape = header.stages, header.tiles
        self._checks = np.frombuffer(chunk.body[size:begin], _CHECK).reshape(self._shape)
        self._bounds = begin + np.concatenate([[0], np.cumsum(lengths), [int(lengths.sum()) + last]])
        there = self._bounds[1:].reshape(self._shape) <= len(chunk.body)
        self._complete = np.logical_and.accumulate(there, axis=0).sum(axis=0)

    @property
    def complete(self) -> np.ndarray:
        """Number of leading stages that the file holds completely, for each tile: (tiles,) integers."""
        return self._complete

    def slice(self, tile: int, stage: int) -> memoryview:
        """Return the bytes of one slice, as many as the file holds.

        Raises:
            IndexError: there is no such tile or stage.
        """
        self._check_range(tile, stage)
        number = stage * self._shape[1] + tile
        return self._body[self._bounds[number] : self._bounds[number + 1]]

    def check_plane(self, tile: int, stage: int, plane: np.ndarray) -> bool:
        """Return whether the plane of a stage of a tile, as `plane_check` takes it, is the one that was encoded.

        Raises:
            IndexError: there is no such tile or stage.
        """
        self._check_range(tile, stage)
        return plane_check(plane) == self._checks[stage, tile]

    def tile(self, tile: int, stages: int | None = None) -> TileReader:
        """Return a reader for the first `stages` stages of a tile, by default all complete ones.

        Raises:
            Truncated: a requested stage is incomplete, or all stages are.
            IndexError: there is no such tile or stage.
        """
        self._check_range(tile, 0 if stages is None else stages - 1)
        complete = int(self._complete[tile])
        if complete < (stages or 1):
            raise Truncated(f"only {complete} stages of tile {tile} are there", self._missing)
        stages = stages or complete
        slices = [self.slice(tile, stage) for stage in range(stages)]
        return TileReader(tile, slices, self._checks[:stages, tile].tolist())

    def _check_range(self, tile: int, stage: int) -> None:
        stages, tiles = self._shape
        if not (0 <= tile < tiles and 0 <= stage < stages):
            raise IndexError(f"tile {tile}, stage {stage} of {tiles} tiles with {stages} stages")


def _cut(chunk: Chunk) -> Truncated | CorruptChunk:
    if chunk.missing:
        return Truncated("the file ends inside the index of its payload", chunk.missing)
    return CorruptChunk("the payload ends inside its index")
