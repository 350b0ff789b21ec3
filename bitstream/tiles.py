"""The payload of one tile: symbols stage by stage, and a check of every index plane."""

import zlib
from dataclasses import dataclass

import numpy as np

from .entropy import SymbolDecoder, SymbolEncoder
from .errors import CorruptStream, IndexMismatch


@dataclass(frozen=True)
class TileStream:
    """One coded tile.

    Args:
        slices: one per stage; the concatenation of the first n decodes n stages.
        checks: `plane_check` of every stage's index plane.
    """

    slices: tuple[bytes, ...]
    checks: tuple[int, ...]


class TileWriter:
    """Encode one tile: for each stage any number of `encode`, then `end_stage` with its index plane."""

    def __init__(self):
        self._encoder = SymbolEncoder()
        self._checks: list[int] = []

    def encode(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Append symbols to the current stage; arguments as of `SymbolEncoder.encode`."""
        self._encoder.encode(symbols, frequencies)

    def end_stage(self, plane: np.ndarray) -> None:
        """Finish a stage.

        Args:
            plane: the indices that a decoder must arrive at, integers 0 to 65535, shape (rows, columns).
        """
        self._encoder.mark()
        self._checks.append(plane_check(plane))

    def bits(self) -> float:
        """Information in the symbols so far, in bits."""
        return self._encoder.bits()

    def finish(self) -> TileStream:
        """The coded tile; the writer is of no use afterwards."""
        data, ends = self._encoder.finish()
        starts = [0, *ends]
        return TileStream(
            tuple(data[start:end] for start, end in zip(starts, ends, strict=False)), tuple(self._checks)
        )


class TileReader:
    """Decode one tile: for each stage the same calls as at the `TileWriter`.

    Args:
        tile: number of the tile, for messages.
        slices: the slices of stages 0 to n - 1.
        checks: the checks of the same planes.
    """

    def __init__(self, tile: int, slices: list[bytes], checks: list[int]):
        self.tile = tile
        self.stages = len(slices)
        self._decoder = SymbolDecoder(b"".join(slices))
        self._checks = checks
        self._stage = 0

    def decode(self, frequencies: np.ndarray, n: int | None = None) -> np.ndarray:
        """The next symbols of the current stage, int32 of shape (n,); arguments as of `SymbolDecoder.decode`.

        Raises:
            IndexMismatch: the data cannot come from these frequencies.
        """
        try:
            return self._decoder.decode(frequencies, n)
        except CorruptStream as error:
            raise self._mismatch() from error

    def end_stage(self, plane: np.ndarray) -> None:
        """Check the decoded plane of the current stage, shape (rows, columns), and go to the next stage.

        Raises:
            IndexMismatch: these are not the indices that were encoded; nothing after them can be decoded.
        """
        if plane_check(plane) != self._checks[self._stage]:
            raise self._mismatch()
        self._stage += 1

    def _mismatch(self) -> IndexMismatch:
        return IndexMismatch(
            f"tile {self.tile}, stage {self._stage}: the decoded indices are not those that were encoded",
            self.tile,
            self._stage,
        )


def plane_check(plane: np.ndarray) -> int:
    """16-bit check of an index plane: low half of the CRC-32 of its little-endian uint16, row by row."""
    plane = np.asarray(plane)
    if plane.ndim != 2 or (plane.size and not 0 <= plane.min() <= plane.max() <= 0xFFFF):
        raise ValueError(f"an index plane has shape (rows, columns) and values 0 to 65535, not {plane.shape}")
    return zlib.crc32(np.ascontiguousarray(plane, "<u2")) & 0xFFFF
