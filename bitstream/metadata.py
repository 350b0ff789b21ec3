"""ICC profile, EXIF and XMP, each in its own ancillary chunk, deflated where that is shorter."""

import zlib
from dataclasses import dataclass

from . import chunks
from .errors import CorruptChunk, LimitExceeded

MAX_METADATA = 1 << 24

_STORED = 0
_DEFLATED = 1
_TAGS = {"icc": chunks.ICC, "exif": chunks.EXIF, "xmp": chunks.XMP}


@dataclass(frozen=True)
class Metadata:
    """Metadata of a picture; `None` where it has none. Each item has at most 2**24 bytes.

    Args:
        icc: ICC colour profile.
        exif: EXIF, a TIFF structure (without the "Exif" marker that precedes it in JPEG).
        xmp: XMP packet, UTF-8.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    def bodies(self) -> list[tuple[bytes, bytes]]:
        """Return tag and body of each chunk that is needed.

        Raises:
            LimitExceeded: an item is too long.
        """
        present = [(tag, getattr(self, name)) for name, tag in _TAGS.items()]
        return [(tag, _pack(tag, value)) for tag, value in present if value is not None]


def read_metadata(bodies: dict[bytes, memoryview]) -> Metadata:
    """Decode metadata from the bodies of its chunks, by tag. Other tags are ignored.

    Raises:
        CorruptChunk: a body is invalid.
        LimitExceeded: an item is too long.
    """
    return Metadata(**{name: _unpack(tag, bodies[tag]) for name, tag in _TAGS.items() if tag in bodies})


def _pack(tag: bytes, value: bytes) -> bytes:
    if len(value) > MAX_METADATA:
        raise LimitExceeded(f"chunk {tag.decode()} of {len(value)} bytes is too long")
    deflater = zlib.compressobj(9, wbits=-15)
    deflated = deflater.compress(value) + deflater.flush()
    return bytes([_DEFLATED]) + deflated if len(deflated) < len(value) else bytes([_STORED]) + value


def _unpack(tag: bytes, body: memoryview) -> bytes:
    if not body:
        raise CorruptChunk(f"chunk {tag.decode()} is empty")
    method, value = body[0], body[1:]
    if method == _STORED:
        if len(value) > MAX_METADATA:
            raise LimitExceeded(f"chunk {tag.decode()} of {len(value)} bytes is too long")
        return bytes(value)
    if method != _DEFLATED:
        raise CorruptChunk(f"chunk {tag.decode()} has unknown compression {method}")
    inflater = zlib.decompressobj(wbits=-15)
    try:
        inflated = inflater.decompress(value, MAX_METADATA + 1)
    except zlib.error:
        raise CorruptChunk(f"chunk {tag.decode()} does not inflate") from None
    if len(inflated) > MAX_METADATA:
        raise LimitExceeded(f"chunk {tag.decode()} inflates to more than {MAX_METADATA} bytes")
    if not inflater.eof or inflater.unused_data:
        raise CorruptChunk(f"chunk {tag.decode()} does not inflate")
    return inflated
