"""Index planes to range-coder symbols and back, with the model's frequency tables."""

from __future__ import annotations

import numpy as np

from bitstream import TileReader, TileWriter


class TableCoder:
    """Codes every index with a fixed frequency table of its stage and context.

    There are two tables per stage: one for positions where the stage before chose codeword 0 ("nothing to
    add"), one for all others. Within a stage, positions of context 0 come first, then those of context 1,
    each in raster order.

    Args:
        tables: (S, 2, K) integer frequencies, each row summing to 2**16.
    """

    def __init__(self, tables: np.ndarray) -> None:
        self.tables = tables

    def encode(self, writer: TileWriter, planes: np.ndarray) -> None:
        """Write the planes (s, rows, columns) of one tile."""
        for stage, plane in enumerate(planes):
            for context, mask in enumerate(_contexts(planes[:stage], plane.shape)):
                writer.encode(plane[mask], self.tables[stage, context])
            writer.end_stage(plane)

    def decode(self, reader: TileReader, shape: tuple[int, int]) -> np.ndarray:
        """Read the planes (s, rows, columns) uint16 of one tile, s being what the reader holds."""
        planes = np.zeros((reader.stages, *shape), np.uint16)
        for stage, plane in enumerate(planes):
            for context, mask in enumerate(_contexts(planes[:stage], shape)):
                plane[mask] = reader.decode(self.tables[stage, context], int(mask.sum()))
            reader.end_stage(plane)
        return planes


def _contexts(before: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    after_zero = before[-1] == 0 if len(before) >= 2 else np.zeros(shape, bool)
    return ~after_zero, after_zero
