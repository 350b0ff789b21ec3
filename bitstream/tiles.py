"""The payload of one tile: symbols stage by stage, and a check of the plane of each."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .entropy import Frequencies, SymbolDecoder, SymbolEncoder
from .errors import CorruptStream, IndexMismatch


@dataclass(frozen=True)
class TileStream:
    """One coded tile.

    Args:
        slices: one per stage. The first n together decode n stages.
        checks: `plane_check` of the plane of each stage.
    """

    slices: tuple[bytes, ...]
    checks: tuple[int, ...]


class TileWriter:
    """Encodes one tile: for each stage any number of `encode`, then `end_stage` with its plane."""

    def __init__(self):
        self._encoder = SymbolEncoder()
        self._checks: list[int] = []

    def encode(self, symbols: np.ndarray, frequencies: np.ndarray | Frequencies) -> None:
        """Append symbols to the current stage. See `SymbolEncoder.encode`."""
        self._encoder.encode(symbols, frequencies)

    def end_stage(self, plane: np.ndarray) -> None:
        """Finish a stage.

        Args:
            plane: what a decoder must obtain, as `plane_check` takes it.

        Raises:
            ValueError: the plane has another shape or range.
        """
        self._encoder.mark()
        self._checks.append(plane_check(plane))

    def bits(self) -> float:
        """Return the information in the symbols so far, in bits."""
        return self._encoder.bits()

    def finish(self) -> TileStream:
        """Return the coded tile. The writer cannot be used afterwards."""
        data, ends = self._encoder.finish()
        starts = [0, *ends]
        return TileStream(
            tuple(data[start:end] for start, end in zip(starts, ends, strict=False)), tuple(self._checks)
        )


class TileReader:
    """Decodes one tile, with the same calls for each stage as to `TileWriter`.

    Args:
        tile: number of the tile, for messages.
        slices: slices of stages 0 to n - 1.
        checks: checks of the same planes.
    """

    def __init__(self, tile: int, slices: Sequence[bytes | memoryview], checks: Sequence[int]):
        self.tile = tile
        self.stages = len(slices)
        self._decoder = SymbolDecoder(b"".join(slices))
        self._checks = checks
        self._stage = 0

    def decode(self, frequencies: np.ndarray | Frequencies, n: int | None = None) -> np.ndarray:
        """Decode the next symbols of the current stage, (n,) int32. See `SymbolDecoder.decode`.

        Raises:
            IndexMismatch: the data cannot come from these frequencies.
        """
        try:
            return self._decoder.decode(frequencies, n)
        except CorruptStream as error:
            raise self._mismatch() from error

    def end_stage(self, plane: np.ndarray) -> None:
        """Check the decoded plane of the current stage, and go to the next stage. See `plane_check`.

        Raises:
            IndexMismatch: this is not what was encoded. Nothing after them can be decoded.
        """
        if plane_check(plane) != self._checks[self._stage]:
            raise self._mismatch()
        self._stage += 1

    def _mismatch(self) -> IndexMismatch:
        return IndexMismatch(
            f"tile {self.tile}, stage {self._stage}: the decoded values are not those that were encoded",
            self.tile,
            self._stage,
        )


def plane_check(plane: np.ndarray) -> int:
    """Return the 16-bit check of a plane.

    It is the low half of the CRC-32 of the values as little-endian uint16, row by row.

    Args:
        plane: the indices of a tile in one layer, or the base of a tile: a row filled with its step, then the
            rows of Y, of Co and of Cg in two's complement. Two dimensions, values 0 to 65535.

    Raises:
        ValueError: the plane has another shape or range.
    """
    plane = np.asarray(plane)
    if plane.ndim != 2 or (plane.size and not 0 <= plane.min() <= plane.max() <= 0xFFFF):
        raise ValueError(f"a plane has shape (rows, columns) and values 0 to 65535, not {plane.shape}")
    return zlib.crc32(np.ascontiguousarray(plane, "<u2").data) & 0xFFFF
