"""Tagged chunks: their framing, which is checked before any content is trusted."""

import zlib
from dataclasses import dataclass

import numpy as np

from .errors import CorruptChunk, LimitExceeded, TrailingData, Truncated
from .header import HEADER_SIZE

PAYLOAD = b"P"
ALPHA = b"A"
ICC = b"i"
EXIF = b"e"
XMP = b"x"
NAMES = {ICC: "ICC profile", EXIF: "EXIF", XMP: "XMP", ALPHA: "alpha", PAYLOAD: "payload"}
"""What each known chunk holds, by its tag. Readers skip or refuse all others."""

MAX_CHUNKS = 256
MAX_LENGTH = (1 << 32) - 1
CRC_SIZE = 4
_VARINT_SIZE = 5


@dataclass(frozen=True)
class Chunk:
    """One chunk of a file.

    Args:
        tag: one ASCII letter. Upper case means critical.
        offset: start of the chunk in the file, in bytes.
        length: length of the whole body, in bytes.
        body: the part of the body that the file holds.
        intact: whether the checksum is present and correct.
        missing: number of bytes of body and checksum that the file does not hold.
    """

    tag: bytes
    offset: int
    length: int
    body: memoryview
    intact: bool
    missing: int

    @property
    def name(self) -> str:
        """The tag as text, for messages."""
        return self.tag.decode()

    @property
    def critical(self) -> bool:
        """Whether a reader that does not know this chunk cannot show the picture."""
        return self.tag.isupper()


def pack_chunk(header: bytes, tag: bytes, body: bytes) -> bytes:
    """Encode a chunk as the bytes of the file.

    Args:
        header: the packed header, which the checksum covers too.
        tag: one ASCII letter.
        body: contents.

    Raises:
        LimitExceeded: the body is longer than `MAX_LENGTH`.
    """
    if len(body) > MAX_LENGTH:
        raise LimitExceeded(f"chunk {tag.decode()} of {len(body)} bytes is too long")
    framed = tag + pack_varint(len(body)) + body
    return framed + zlib.crc32(framed, zlib.crc32(header)).to_bytes(CRC_SIZE, "little")


def read_chunks(data: memoryview, verify_payload: bool) -> list[Chunk]:
    """Split everything after the header into chunks. The last one is the payload, and may be truncated.

    Args:
        data: the whole file.
        verify_payload: whether to compute the checksum of the payload.

    Raises:
        Truncated: the data ends before the payload starts.
        TrailingData: the data continues after the payload.
        CorruptChunk: a tag or a length is invalid.
        LimitExceeded: there are too many chunks, or one claims to be too long.
    """
    header_crc = zlib.crc32(data[:HEADER_SIZE])
    chunks: list[Chunk] = []
    offset = HEADER_SIZE
    while not chunks or chunks[-1].tag != PAYLOAD:
        if offset == len(data):
            raise Truncated("the file ends before its payload")
        if len(chunks) == MAX_CHUNKS:
            raise LimitExceeded(f"more than {MAX_CHUNKS} chunks")
        tag = bytes(data[offset : offset + 1])
        if not tag.isalpha():
            raise CorruptChunk(f"byte 0x{tag.hex()} at offset {offset} is not a chunk tag")
        length, start = _read_length(data, offset)
        body = data[start : start + length]
        crc = data[start + length : start + length + CRC_SIZE]
        missing = start + length + CRC_SIZE - min(len(data), start + length + CRC_SIZE)
        if missing and tag != PAYLOAD:
            raise Truncated(f"the file ends inside chunk {tag.decode()}", missing)
        intact = missing == 0 and (
            (tag == PAYLOAD and not verify_payload)
            or zlib.crc32(data[offset : start + length], header_crc) == int.from_bytes(crc, "little")
        )
        chunks.append(Chunk(tag, offset, length, body, intact, missing))
        offset = start + length + CRC_SIZE
    if offset < len(data):
        raise TrailingData(f"the file goes on after its payload (bytes: {len(data) - offset})")
    return chunks


def pack_varint(value: int) -> bytes:
    """Encode a number >= 0 as LEB128.

    Seven bits per byte, lowest first; the top bit is set on all bytes but the last.
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varints(data: memoryview, count: int) -> tuple[np.ndarray, int]:
    """Read `count` LEB128 numbers of at most five bytes each.

    Returns:
        the values, (count,) int64, and the number of bytes read.

    Raises:
        Truncated: the data ends too early.
        CorruptChunk: a number takes more than five bytes, or more than it needs.
    """
    raw = np.frombuffer(data[: count * _VARINT_SIZE], np.uint8)
    ends = np.flatnonzero(raw < 0x80)[:count]
    starts = np.concatenate([[0], ends + 1])
    sizes = np.diff(starts)
    open_size = min(len(raw) - int(starts[-1]), _VARINT_SIZE) if len(ends) < count else 0
    if (len(sizes) and sizes.max() > _VARINT_SIZE) or open_size == _VARINT_SIZE:
        raise CorruptChunk("a length takes more than five bytes")
    if len(ends) < count:
        raise Truncated("the file ends inside a list of lengths")
    if np.any((raw[ends] == 0) & (sizes > 1)):
        raise CorruptChunk("a length is not in its shortest form")
    values = np.zeros(count, np.int64)
    for place in range(_VARINT_SIZE):
        longer = sizes > place
        values[longer] |= (raw[starts[:-1][longer] + place].astype(np.int64) & 0x7F) << 7 * place
    return values, int(starts[-1])


def _read_length(data: memoryview, offset: int) -> tuple[int, int]:
    try:
        values, size = read_varints(data[offset + 1 : offset + 1 + _VARINT_SIZE], 1)
    except Truncated:
        raise Truncated(f"the file ends inside the length of the chunk at offset {offset}") from None
    length = int(values[0])
    if length > MAX_LENGTH:
        raise LimitExceeded(f"chunk at offset {offset} claims {length} bytes")
    return length, offset + 1 + size
