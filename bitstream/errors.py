"""Everything that can be wrong with a `.vqc` file, as a tree of exceptions under `BitstreamError`."""

# ruff: noqa: N818 - each class is named after the fault, and its base class says that it is an error


class BitstreamError(ValueError):
    """A `.vqc` file that cannot be read. The message is one line that says what is wrong."""


class BadMagic(BitstreamError):
    """The data does not start with the four magic bytes: it is not a `.vqc` file."""


class UnsupportedVersion(BitstreamError):
    """The file needs another reader: another version, or flags or a reserved byte that version 2 does not define."""


class CorruptHeader(BitstreamError):
    """A header field has a value that the format does not allow."""


class CorruptChunk(BitstreamError):
    """A chunk contradicts its checksum or its own structure, appears twice, or is missing."""


class CorruptStream(BitstreamError):
    """No sequence of symbols gives this range-coder stream with the given frequencies."""


class UnknownCriticalChunk(BitstreamError):
    """The file has a critical chunk, needed to show the picture, that this reader does not know."""


class LimitExceeded(BitstreamError):
    """A size exceeds the documented limits. Nothing has been allocated for it."""


class TrailingData(BitstreamError):
    """The file continues after the payload, where it should end."""


class Truncated(BitstreamError):
    """The file ends too early.

    Attributes:
        missing: number of missing bytes as far as it is known, at least 1.
    """

    def __init__(self, message: str, missing: int = 1):
        super().__init__(message)
        self.missing = missing


class IndexMismatch(BitstreamError):
    """Decoded values differ from the encoded ones: the data is damaged, or the context model differs.

    Attributes:
        tile: number of the tile, in raster order.
        stage: stage whose plane differs, from 0.
    """

    def __init__(self, message: str, tile: int, stage: int):
        super().__init__(message)
        self.tile = tile
        self.stage = stage
