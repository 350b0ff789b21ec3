"""The fixed 20-byte header of a `.vqc` file, and the geometry that follows from it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .errors import BadMagic, CorruptHeader, LimitExceeded, Truncated, UnsupportedVersion

if TYPE_CHECKING:
    from typing_extensions import Buffer

# 0xD6 is not ASCII, and 0xD6 followed by "V" is not UTF-8, so a copy that went through a text mode does not
# match.
MAGIC = b"\xd6VQC"
VERSION = 2
HEADER_SIZE = 20

MAX_SIDE = 1 << 24
MAX_PIXELS = 1 << 32
MAX_STAGES = 32
MAX_SLICES = 1 << 20
RATES = range(256)
TILE_LOG2 = range(2, 9)
DOWNSAMPLE_LOG2 = range(2, 7)

_GREY = 0x01
_LAYOUT = struct.Struct("<4sBBHBHBBBBB4s")


class Tile(NamedTuple):
    """A rectangle of latent positions: `rows` rows from `top`, `columns` columns from `left`."""

    top: int
    left: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first chunk.

    Args:
        width: width of the picture in pixels, 1 to 2**24. Width times height is at most 2**32.
        height: height of the picture in pixels, 1 to 2**24.
        model_id: first 4 bytes of the SHA-256 of the model file.
        stages: number of stages of each tile, 1 to 32: the base, if the model has one, and layers of indices.
        rate: point of the rate dial of the model, 0 to 255; 0 if it has none.
        downsample_log2: log2 of the pixels per latent position along each side, 2 to 6.
        tile_log2: log2 of the side of a tile in latent positions, 2 to 8.
        grey: whether the picture has one channel.

    Raises:
        CorruptHeader: a field is out of range.
        LimitExceeded: there are too many pixels, or more than 2**20 (stage, tile) slices.
    """

    width: int
    height: int
    model_id: bytes
    stages: int
    rate: int = 0
    downsample_log2: int = 4
    tile_log2: int = 6
    grey: bool = False

    def __post_init__(self):
        for name, value, allowed in (
            ("width", self.width, range(1, MAX_SIDE + 1)),
            ("height", self.height, range(1, MAX_SIDE + 1)),
            ("number of stages", self.stages, range(1, MAX_STAGES + 1)),
            ("rate", self.rate, RATES),
            ("downsampling exponent", self.downsample_log2, DOWNSAMPLE_LOG2),
            ("tile size exponent", self.tile_log2, TILE_LOG2),
        ):
            if not allowed.start <= value < allowed.stop:
                raise CorruptHeader(f"{name} is {value}, not {allowed.start} to {allowed.stop - 1}")
        if len(self.model_id) != 4:
            raise CorruptHeader(f"model id has {len(self.model_id)} bytes, not 4")
        if self.width * self.height > MAX_PIXELS:
            raise LimitExceeded(f"{self.width}x{self.height} pixels are more than 2**32")
        if self.slices > MAX_SLICES:
            raise LimitExceeded(f"{self.tiles} tiles of {self.stages} stages are more than 2**20 slices")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the latent grid."""
        return _ceil_shift(self.height, self.downsample_log2), _ceil_shift(self.width, self.downsample_log2)

    @property
    def tile_grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, columns = self.grid
        return _ceil_shift(rows, self.tile_log2), _ceil_shift(columns, self.tile_log2)

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        rows, columns = self.tile_grid
        return rows * columns

    @property
    def slices(self) -> int:
        """Number of (stage, tile) slices in the payload."""
        return self.stages * self.tiles

    def tile(self, index: int) -> Tile:
        """Return the latent positions of tile `index`, 0 to `tiles - 1` in raster order.

        Raises:
            IndexError: there is no such tile.
        """
        if not 0 <= index < self.tiles:
            raise IndexError(f"tile {index} of {self.tiles}")
        row, column = divmod(index, self.tile_grid[1])
        top, left = row << self.tile_log2, column << self.tile_log2
        side = 1 << self.tile_log2
        rows, columns = self.grid
        return Tile(top, left, min(side, rows - top), min(side, columns - left))

    def tiles_in(self, x: int, y: int, width: int, height: int, halo: int = 0) -> list[int]:
        """Return the numbers of the tiles that a rectangle of pixels touches, in raster order.

        Args:
            x, y, width, height: a rectangle inside the picture, in pixels.
            halo: pixels by which to extend the rectangle on every side first, clipped to the picture.

        Raises:
            ValueError: the rectangle is not inside the picture.
        """
        if not (0 <= x < x + width <= self.width and 0 <= y < y + height <= self.height):
            raise ValueError(f"{width}x{height}+{x}+{y} is not inside {self.width}x{self.height} pixels")
        shift = self.downsample_log2 + self.tile_log2
        columns = range(max(x - halo, 0) >> shift, (min(x + width + halo, self.width) - 1 >> shift) + 1)
        rows = range(max(y - halo, 0) >> shift, (min(y + height + halo, self.height) - 1 >> shift) + 1)
        return [row * self.tile_grid[1] + column for row in rows for column in columns]

    def pack(self) -> bytes:
        """Return the header as the bytes of the file, `HEADER_SIZE` of them."""
        return _LAYOUT.pack(
            MAGIC,
            VERSION,
            _GREY if self.grey else 0,
            (self.width - 1) & 0xFFFF,
            (self.width - 1) >> 16,
            (self.height - 1) & 0xFFFF,
            (self.height - 1) >> 16,
            self.stages,
            self.downsample_log2 << 4 | self.tile_log2,
            self.rate,
            0,
            self.model_id,
        )


def read_header(data: Buffer) -> Header:
    """Read the header from the first `HEADER_SIZE` bytes of a file. The rest is ignored.

    Only the ranges of the fields can be checked here. The checksums of the chunks cover the header.

    Raises:
        BadMagic, Truncated, UnsupportedVersion, CorruptHeader, LimitExceeded
    """
    start = bytes(memoryview(data)[:HEADER_SIZE])
    if start[:4] != MAGIC[: len(start)]:
        raise BadMagic("not a .vqc file")
    if len(start) < HEADER_SIZE:
        missing = HEADER_SIZE - len(start)
        raise Truncated(f"the file ends inside the header (missing bytes: {missing})", missing)
    _, version, flags, *fields = _LAYOUT.unpack(start)
    if version != VERSION:
        raise UnsupportedVersion(f"format version {version} is not supported, only {VERSION}")
    if flags & ~_GREY:
        raise UnsupportedVersion(f"header flags 0x{flags:02x} are not known to this version")
    width, width_high, height, height_high, stages, geometry, rate, reserved, model_id = fields
    if reserved:
        raise UnsupportedVersion(f"reserved header byte 0x{reserved:02x} is not known to this version")
    return Header(
        width=(width_high << 16 | width) + 1,
        height=(height_high << 16 | height) + 1,
        model_id=model_id,
        stages=stages,
        rate=rate,
        downsample_log2=geometry >> 4,
        tile_log2=geometry & 0x0F,
        grey=bool(flags & _GREY),
    )


def _ceil_shift(value: int, shift: int) -> int:
    return -(-value >> shift)
