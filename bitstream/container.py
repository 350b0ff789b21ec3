"""The complete file: write, read and describe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import chunks
from .alpha import pack_alpha, unpack_alpha
from .chunks import Chunk, pack_chunk, read_chunks
from .errors import CorruptChunk, Truncated, UnknownCriticalChunk
from .header import Header, read_header
from .metadata import Metadata, read_metadata
from .payload import Payload, pack_payload
from .tiles import TileStream

if TYPE_CHECKING:
    from typing_extensions import Buffer


def write(
    header: Header,
    tiles: Sequence[TileStream],
    metadata: Metadata | None = None,
    alpha: np.ndarray | None = None,
) -> bytes:
    """Write a file and return its bytes.

    Args:
        header: header that the tiles were coded with.
        tiles: one stream per tile, in raster order, each with `header.stages` slices.
        metadata: ICC profile, EXIF and XMP to keep.
        alpha: (height, width) uint8.

    Raises:
        LimitExceeded: metadata, alpha or payload are too long.
        ValueError: the tiles or the alpha plane do not fit the header.
    """
    bodies = (metadata or Metadata()).bodies()
    if alpha is not None:
        if alpha.shape != (header.height, header.width):
            raise ValueError(f"alpha of shape {alpha.shape}, not {(header.height, header.width)}")
        bodies.append((chunks.ALPHA, pack_alpha(alpha)))
    bodies.append((chunks.PAYLOAD, pack_payload(header, tiles)))
    packed = header.pack()
    return packed + b"".join(pack_chunk(packed, tag, body) for tag, body in bodies)


@dataclass(frozen=True)
class Container:
    """A file that has been read. Alpha and tiles are decoded on demand, from the buffer that was read.

    The buffer is kept alive and must not change. Only the slices of requested tiles are copied from it.
    Several threads may decode tiles of one container, each with its own reader.

    Args:
        header: size and model.
        metadata: ICC profile, EXIF, XMP.
        payload: the coded tiles.
        chunks: all chunks of the file in order, known or not.
        damaged: what `salvage` dropped or accepted with a wrong checksum, one line each; empty after `read`.
    """

    header: Header
    metadata: Metadata
    payload: Payload
    chunks: list[Chunk]
    damaged: list[str]

    @property
    def missing(self) -> int:
        """Number of bytes missing at the end of a truncated file, else 0."""
        return self.chunks[-1].missing

    @property
    def has_alpha(self) -> bool:
        """Whether the picture has an alpha plane."""
        return any(chunk.tag == chunks.ALPHA for chunk in self.chunks)

    def alpha(self, y: int = 0, rows: int | None = None) -> np.ndarray | None:
        """Decode rows `y` to `y + rows - 1` of the alpha plane, by default all.

        Returns:
            (rows, width) uint8, possibly read-only; `None` if the picture has no alpha plane.

        Raises:
            CorruptChunk: the chunk does not hold an alpha plane of the picture's size.
            ValueError: the rows are outside the picture.
        """
        height, width = self.header.height, self.header.width
        rows = height - y if rows is None else rows
        for chunk in self.chunks:
            if chunk.tag == chunks.ALPHA:
                return unpack_alpha(chunk.body, width, height, y, rows)
        return None


def read(data: Buffer, *, allow_truncated: bool = False, verify_payload: bool = True) -> Container:
    """Read a file from any contiguous buffer: bytes, a memoryview, a memory map.

    Args:
        data: the whole file.
        allow_truncated: accept a file that ends inside the slices of the payload. What it holds can be
            decoded; `Container.missing` and `Payload.complete` tell what is missing.
        verify_payload: compute the checksum of the payload, which reads all of it. Without it, a reader of
            one region touches only the slices of that region, and their checks find damage to them.

    Raises:
        BitstreamError: the data is invalid; each kind of fault has its own subclass.
    """
    view = memoryview(data).cast("B")
    header = read_header(view)
    parts = read_chunks(view, verify_payload)
    missing = parts[-1].missing
    if missing and not allow_truncated:
        raise Truncated(f"the file ends inside its payload (missing bytes: {missing})", missing)
    for chunk in parts:
        if not chunk.intact and not chunk.missing:
            raise CorruptChunk(_fault(chunk))
    return _container(header, parts, [])


def salvage(data: Buffer) -> Container:
    """Read as much as possible of a damaged file. Chunks with wrong checksums do not raise.

    Damaged metadata and alpha are dropped and named in `Container.damaged`. A damaged or truncated payload is
    accepted as it is; `TileReader.end_stage` (or `Payload.check_plane`) tells which tiles decode.

    Raises:
        BitstreamError: the header, the framing of the chunks, or the index of the payload is invalid.
    """
    view = memoryview(data).cast("B")
    header = read_header(view)
    parts = read_chunks(view, verify_payload=True)
    damaged = [_fault(chunk) for chunk in parts if not chunk.intact]
    return _container(header, [chunk for chunk in parts if chunk.intact or chunk is parts[-1]], damaged)


def info(data: Buffer) -> dict[str, Any]:
    """Describe a file without its model, in plain values for JSON.

    A truncated file is described as far as it goes.

    Raises:
        BitstreamError: the data is invalid in any other way.
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
        "rate": header.rate,
        "downsampling": 1 << header.downsample_log2,
        "tile_size": 1 << header.tile_log2 + header.downsample_log2,
        "tiles": header.tiles,
        "chunks": [{"tag": chunk.name, "bytes": chunk.length} for chunk in container.chunks],
        "truncated": container.missing > 0,
        "missing_bytes": container.missing,
        "complete_stages": int(container.payload.complete.min()),
    }


def _fault(chunk: Chunk) -> str:
    if chunk.missing:
        return f"chunk {chunk.name} is cut short (missing bytes: {chunk.missing})"
    return f"the checksum of chunk {chunk.name} is wrong"


def _container(header: Header, parts: list[Chunk], damaged: list[str]) -> Container:
    bodies: dict[bytes, memoryview] = {}
    for chunk in parts:
        if chunk.tag not in chunks.NAMES:
            if chunk.critical:
                raise UnknownCriticalChunk(f"chunk {chunk.name} is critical, and not known here")
        elif chunk.tag in bodies:
            raise CorruptChunk(f"chunk {chunk.name} is there twice")
        else:
            bodies[chunk.tag] = chunk.body
    return Container(header, read_metadata(bodies), Payload(header, parts[-1]), parts, damaged)
