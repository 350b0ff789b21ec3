"""Everything that can be wrong with a `.vqc` file, as one tree of exceptions under `BitstreamError`."""

# ruff: noqa: N818 - each class is named after the fault, and its base says that it is an error


class BitstreamError(ValueError):
    """A `.vqc` file that cannot be read; the message is one line that says what is wrong with it."""


class BadMagic(BitstreamError):
    """The data does not begin with the four magic bytes: it is not a `.vqc` file."""


class UnsupportedVersion(BitstreamError):
    """The file needs another reader: its version is not 1, or it has flags that version 1 does not define."""


class CorruptHeader(BitstreamError):
    """A header field has a value that the format does not allow."""


class CorruptChunk(BitstreamError):
    """A chunk contradicts its checksum or its own structure, is there twice, or is missing."""


class CorruptStream(BitstreamError):
    """No sequence of symbols has this range coder stream under the frequencies given."""


class UnknownCriticalChunk(BitstreamError):
    """The file has a chunk that a reader must understand to show the picture, and this reader does not."""


class LimitExceeded(BitstreamError):
    """A size is beyond the documented limits; nothing has been allocated for it."""


class TrailingData(BitstreamError):
    """There are bytes after the payload, where the file should end."""


class Truncated(BitstreamError):
    """The file ends too early.

    Attributes:
        missing: bytes that are missing as far as is known, at least 1.
    """

    def __init__(self, message: str, missing: int = 1):
        super().__init__(message)
        self.missing = missing


class IndexMismatch(BitstreamError):
    """Decoded indices differ from those encoded: damaged data, or a context model that computes otherwise.

    Attributes:
        tile: number of the tile, in raster order.
        stage: stage whose plane differs, from 0.
    """

    def __init__(self, message: str, tile: int, stage: int):
        super().__init__(message)
        self.tile = tile
        self.stage = stage
