"""The `.vqc` file format: header, chunks, and range-coded planes of numbers. It does not depend on the model."""

from .container import Container, info, read, salvage, write
from .entropy import FREQUENCY_BITS, FREQUENCY_SUM, Frequencies, SymbolDecoder, SymbolEncoder
from .errors import (
    BadMagic,
    BitstreamError,
    CorruptChunk,
    CorruptHeader,
    CorruptStream,
    IndexMismatch,
    LimitExceeded,
    TrailingData,
    Truncated,
    UnknownCriticalChunk,
    UnsupportedVersion,
)
from .header import HEADER_SIZE, MAGIC, VERSION, Header, Tile, read_header
from .metadata import Metadata
from .payload import Payload
from .tiles import TileReader, TileStream, TileWriter, plane_check

__all__ = [
    "FREQUENCY_BITS",
    "FREQUENCY_SUM",
    "HEADER_SIZE",
    "MAGIC",
    "VERSION",
    "BadMagic",
    "BitstreamError",
    "Container",
    "CorruptChunk",
    "CorruptHeader",
    "CorruptStream",
    "Frequencies",
    "Header",
    "IndexMismatch",
    "LimitExceeded",
    "Metadata",
    "Payload",
    "SymbolDecoder",
    "SymbolEncoder",
    "Tile",
    "TileReader",
    "TileStream",
    "TileWriter",
    "TrailingData",
    "Truncated",
    "UnknownCriticalChunk",
    "UnsupportedVersion",
    "info",
    "plane_check",
    "read",
    "read_header",
    "salvage",
    "write",
]
