"""The whole file: write one, read one, and get at the slices of single tiles."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from . import chunks
from .alpha import pack_alpha, unpack_alpha
from .chunks import Chunk, pack_chunk, pack_varint, read_chunks, read_varints
from .errors import BitstreamError, CorruptChunk, Truncated, UnknownCriticalChunk
from .header import Header, read_header
from .metadata import Metadata, read_metadata
from .tiles import TileReader, TileStream, plane_check

_CHECK = np.dtype("<u2")
_KNOWN = {chunks.ICC, chunks.EXIF, chunks.XMP, chunks.ALPHA, chunks.PAYLOAD}


def write(
    header: Header,
    tiles: Sequence[TileStream],
    metadata: Metadata | None = None,
    alpha: np.ndarray | None = None,
) -> bytes:
    """The bytes of a file.

    Args:
        header: what the tiles were coded with.
        tiles: one stream per tile, in raster order, each with `header.stages` slices.
        metadata: what to keep of the picture's own.
        alpha: uint8, shape (height, width).

    Raises:
        LimitExceeded: metadata or payload are too long.
        ValueError: the tiles or the alpha plane do not fit the header.
    """
    if len(tiles) != header.tiles:
        raise ValueError(f"{len(tiles)} tiles, but the header says {header.tiles}")
    if any(not len(tile.slices) == len(tile.checks) == header.stages for tile in tiles):
        raise ValueError(f"a tile has not {header.stages} stages")
    bodies = (metadata or Metadata()).bodies()
    if alpha is not None:
        if alpha.shape != (header.height, header.width):
            raise ValueError(f"alpha of shape {alpha.shape}, not {(header.height, header.width)}")
        bodies.append((chunks.ALPHA, pack_alpha(alpha)))
    slices = [tile.slices[stage] for stage in range(header.stages) for tile in tiles]
    lengths = b"".join(pack_varint(len(part)) for part in slices[:-1])
    checks = np.array([tile.checks for tile in tiles]).T.astype(_CHECK).tobytes()
    bodies.append((chunks.PAYLOAD, b"".join([lengths, checks, *slices])))
    packed = header.pack()
    return packed + b"".join(pack_chunk(packed, tag, body) for tag, body in bodies)


@dataclass(frozen=True)
class Container:
    """A file that has been read: everything but the coded indices is decoded, those are decoded tile by tile.

    It keeps the buffer that it was read from alive, and copies from it only the slices that are asked for.

    Args:
        header: size and model.
        metadata: ICC profile, EXIF, XMP.
        chunks: all chunks of the file in their order, known or not.
        missing: bytes missing at the end of a truncated file, else 0.
        damaged: what `salvage` ignored, one line each; empty after `read`.
    """

    header: Header
    metadata: Metadata
    chunks: list[Chunk]
    missing: int
    damaged: list[str]
    _ends: np.ndarray = field(repr=False)  # where each slice ends in the payload's body, stage-major
    _begin: int = field(repr=False)  # where the first one begins
    _checks: np.ndarray = field(repr=False)  # (stages, tiles)

    @property
    def complete(self) -> np.ndarray:
        """Number of leading stages of which all bytes are there, int64 of shape (tiles,)."""
        there = self._ends.reshape(self.header.stages, self.header.tiles) <= len(self._payload.body)
        return np.logical_and.accumulate(there, axis=0).sum(axis=0)

    @property
    def has_alpha(self) -> bool:
        """The picture has an alpha plane."""
        return any(chunk.tag == chunks.ALPHA for chunk in self.chunks)

    def alpha(self, y: int = 0, height: int | None = None) -> np.ndarray | None:
        """Rows `y` to `y + height - 1` (by default all) of the alpha plane, uint8 of shape (height, width).

        Raises:
            CorruptChunk: the chunk does not hold an alpha plane of this size.
        """
        height = self.header.height - y if height is None else height
        for chunk in self.chunks:
            if chunk.tag == chunks.ALPHA:
                return unpack_alpha(chunk.body, self.header.width, self.header.height, y, height)
        return None

    def tile(self, index: int, stages: int | None = None) -> TileReader:
        """A reader for the first `stages` stages of a tile, by default all that are complete.

        Raises:
            Truncated: a stage asked for is not all there, or nothing is.
        """
        complete = int(self.complete[index])
        stages = complete if stages is None else stages
        if not 1 <= stages <= self.header.stages:
            if complete == 0:
                raise Truncated(f"nothing of tile {index} is there", max(self.missing, 1))
            raise ValueError(f"{stages} stages, not 1 to {self.header.stages}")
        if stages > complete:
            raise Truncated(f"only {complete} stages of tile {index} are there", max(self.missing, 1))
        return TileReader(
            index,
            [self.slice(index, stage) for stage in range(stages)],
            self._checks[:stages, index].tolist(),
        )

    def slice(self, tile: int, stage: int) -> memoryview:
        """The bytes of one slice, as many as are there."""
        number = stage * self.header.tiles + tile
        start = self._ends[number - 1] if number else self._begin
        return self._payload.body[start : self._ends[number]]

    def check_plane(self, tile: int, stage: int, plane: np.ndarray) -> bool:
        """Whether these are the indices that were encoded, shape (rows, columns) of the tile."""
        return plane_check(plane) == self._checks[stage, tile]

    @property
    def _payload(self) -> Chunk:
        return self.chunks[-1]


def read(data, *, allow_truncated: bool = False, verify_payload: bool = True) -> Container:
    """Read a file from any contiguous buffer: bytes, a memoryview, a memory map.

    Args:
        data: the whole file.
        allow_truncated: accept a file that ends inside the slices of the payload; what is there can be
            decoded, and `Container.complete` and `Container.missing` say what is not.
        verify_payload: compute the checksum of the payload, which touches all of it. Without it a reader
            of one region touches only the slices of that region, and their checks find damage to them.

    Raises:
        BitstreamError: one of its kinds for everything that can be wrong with the data.
    """
    return _read(data, allow_truncated, verify_payload, lenient=False)


def salvage(data) -> Container:
    """Read what can be read of a damaged file: like `read`, but checksums only decide what is left out.

    Damaged metadata and alpha are dropped and named in `Container.damaged`; a damaged or truncated payload
    is taken as it is, and `TileReader.end_stage` (or `Container.check_plane`) tells which tiles decode.

    Raises:
        BitstreamError: the header, the framing of the chunks, or the index of the payload make no sense.
    """
    return _read(data, allow_truncated=True, verify_payload=True, lenient=True)


def info(data) -> dict:
    """What can be said of a file without its model, as plain values for JSON.

    A truncated file is described, not refused.

    Raises:
        BitstreamError: anything else is wrong with the data.
    """
    container = read(data, allow_truncated=True)
    header = container.header
    size = memoryview(data).nbytes
    return {
        "width": header.width,
        "height": header.height,
        "mode": ("L" if header.grey else "RGB") + ("A" if container.has_alpha else ""),
        "bytes": size,
        "bpp": 8 * size / (header.width * header.height),
        "model_id": header.model_id.hex(),
        "stages": header.stages,
        "codebook_size": header.codebook_size,
        "downsampling": 1 << header.downsample_log2,
        "tile_size": 1 << header.tile_log2 + header.downsample_log2,
        "tiles": header.tiles,
        "chunks": [{"tag": chunk.tag.decode(), "bytes": len(chunk.body)} for chunk in container.chunks],
        "truncated": container.missing > 0,
        "missing_bytes": container.missing,
        "complete_stages": int(container.complete.min()),
    }


def _read(data, allow_truncated: bool, verify_payload: bool, lenient: bool) -> Container:
    view = memoryview(data).cast("B")
    header = read_header(view)
    parts = read_chunks(view, verify_payload)
    payload = parts[-1]
    if payload.missing and not allow_truncated:
        missing = payload.missing
        raise Truncated(f"the file ends inside its payload ({missing} bytes are missing)", missing)
    broken = [chunk.tag.decode() for chunk in parts if not chunk.intact and not chunk.missing]
    damaged = [f"the checksum of chunk {tag} is wrong" for tag in broken]
    if damaged and not lenient:
        raise CorruptChunk(damaged[0])
    kept: dict[bytes, Chunk] = {}
    for chunk in parts:
        if chunk.tag not in _KNOWN:
            if chunk.critical:
                raise UnknownCriticalChunk(
                    f"chunk {chunk.tag.decode()} is needed but not known to this version"
                )
        elif chunk.tag in kept:
            raise CorruptChunk(f"chunk {chunk.tag.decode()} is there twice")
        else:
            kept[chunk.tag] = chunk
    bodies = {tag: chunk.body for tag, chunk in kept.items() if chunk.intact}
    try:
        metadata = read_metadata(bodies)
    except BitstreamError as error:
        if not lenient:
            raise
        damaged.append(str(error))
        metadata = Metadata()
    shown = [chunk for chunk in parts if chunk.intact or chunk is payload]
    return Container(header, metadata, shown, payload.missing, damaged, *_read_index(header, payload))


def _read_index(header: Header, payload: Chunk) -> tuple[np.ndarray, int, np.ndarray]:
    count = header.slices
    least = count - 1 + _CHECK.itemsize * count
    if payload.length < least:
        raise CorruptChunk(f"{payload.length} bytes of payload cannot index {count} slices")
    if len(payload.body) < least:
        raise Truncated("the file ends inside the index of its payload", payload.missing)
    lengths, size = read_varints(payload.body, count - 1)
    begin = size + _CHECK.itemsize * count
    if len(payload.body) < begin:
        raise Truncated("the file ends inside the index of its payload", max(payload.missing, 1))
    rest = payload.length - begin - int(lengths.sum())
    if rest < 0:
        raise CorruptChunk(f"the slices are {-rest} bytes longer than the payload")
    checks = np.frombuffer(payload.body[size:begin], _CHECK).reshape(header.stages, header.tiles)
    ends = begin + np.cumsum(np.append(lengths, rest))
    return ends, begin, checks
