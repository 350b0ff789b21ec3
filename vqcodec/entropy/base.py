"""The base of a picture to range coder streams and back, exactly.

Each value is predicted from its neighbours to the left and above by the median edge detector of LOCO-I (Weinberger et
al., 2000). What is left over is coded with a fixed frequency table. Three things choose the table: the activity of the
neighbours, how much was left over there, and, for chroma, what was left over at the same position in the planes before.

The symbols of a tile come diagonal by diagonal, so that all positions of a diagonal, in all tiles, are computed at
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bitstream import FREQUENCY_SUM, IndexMismatch, TileReader, TileWriter
from vqcodec.config import CHROMA

PLANES = 3
LARGEST = 24
"""Leftovers up to this have symbols of their own; larger ones follow an escape symbol."""

ALPHABET = 2 * LARGEST + 2
ESCAPE = ALPHABET - 1
LARGEST_STEP = 255
# Activity in steps from which on each further context holds.
_ACTIVITIES = np.array([1, 2, 3, 5, 8, 13, 21])
# Leftovers of the neighbours, and of the planes before, in steps, from which on each further context holds.
_ERRORS = np.array([1, 2, 4])
_NEAR = np.array([1, 2, 4, 8])
CONTEXTS = (len(_ACTIVITIES) + 1) * (len(_NEAR) + 1) * (len(_ERRORS) + 1)
# Steps that tiles may have, besides the usual one of a quality.
_LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128)
# Bits that the first values of a tile take, whatever its step.
_FREE = 96
_STEPS = np.full(256, FREQUENCY_SUM // 256)
_ESCAPED = np.full(512, FREQUENCY_SUM // 512)


class BaseCoder:
    """Codes the base of tiles.

    Args:
        tables: (PLANES, CONTEXTS, ALPHABET) integer frequencies of at least 1; each row sums to 2**16.

    Raises:
        ValueError: the tables have another shape.
    """

    def __init__(self, tables: np.ndarray) -> None:
        if tables.shape != (PLANES, CONTEXTS, ALPHABET):
            raise ValueError(f"tables of the base have shape {tables.shape}")
        self._tables = tables.astype(np.float32)
        self._costs = 16 - np.log2(self._tables)

    def write(self, writers: Sequence[TileWriter], bases: Sequence[np.ndarray], steps: Sequence[int]) -> None:
        """Code the stage of the base of some tiles, and end it.

        Args:
            writers: one per tile.
            bases: of each tile, (3, rows, columns) integers.
            steps: of each tile, 1 to 255.
        """
        for writer, base, step in zip(writers, bases, steps, strict=True):
            writer.encode(np.array([step]), _STEPS)
            left, contexts = analysed(base, step)
            symbols = _symbols(left)
            for row, column in diagonals(*base.shape[1:]):
                for plane in range(PLANES):
                    chosen = symbols[plane, row, column]
                    writer.encode(chosen, self._tables[plane, contexts[plane, row, column]])
                    rest = left[plane, row, column][chosen == ESCAPE]
                    if len(rest):
                        writer.encode(2 * (np.abs(rest) - LARGEST - 1) + (rest < 0), _ESCAPED)
            writer.end_stage(check_plane(base, step))

    def read(
        self, readers: Sequence[TileReader], shapes: Sequence[tuple[int, int]]
    ) -> list[tuple[np.ndarray, int]]:
        """Decode the stage of the base of some tiles, and check it.

        Args:
            readers: one per tile.
            shapes: rows and columns of each tile.

        Returns:
            for each tile, (3, rows, columns) int16 and its step.

        Raises:
            bitstream.IndexMismatch: the data is damaged.
        """
        found: list[tuple[np.ndarray, int]] = [(np.empty(0, np.int16), 0)] * len(readers)
        for shape in dict.fromkeys(shapes):
            alike = [number for number, other in enumerate(shapes) if other == shape]
            together = self._read_alike([readers[number] for number in alike], *shape)
            for number, tile in zip(alike, together, strict=True):
                found[number] = tile
        return found

    def _read_alike(
        self, readers: Sequence[TileReader], rows: int, columns: int
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Decode the base of tiles of one size."""
        steps = [int(reader.decode(_STEPS, 1)[0]) for reader in readers]
        for reader, step in zip(readers, steps, strict=True):
            if step == 0:
                raise IndexMismatch(f"tile {reader.tile}, stage 0: the step of the base is 0", reader.tile, 0)
        # A row above and a column to the left let positions at the edge have neighbours.
        values = np.zeros((len(readers), PLANES, rows + 1, columns + 1), np.int32)
        errors = np.zeros_like(values)
        starts = [np.array([[_start(plane, step)] for step in steps]) for plane in range(PLANES)]
        for row, column in diagonals(rows, columns):
            for plane in range(PLANES):
                sides = _neighbours(values[:, plane], row, column, starts[plane])
                expected, context = _foreseen(sides, *_leftovers(errors, plane, row, column))
                tables = self._tables[plane].take(context, 0)
                pairs = zip(readers, tables, strict=True)
                left = np.stack([_leftover(reader, table) for reader, table in pairs])
                errors[:, plane, row + 1, column + 1] = np.abs(left)
                values[:, plane, row + 1, column + 1] = expected + left
        for reader, base, step in zip(readers, values[..., 1:, 1:], steps, strict=True):
            if not np.array_equal(clipped(base, np.full(base.shape[1:], step)), base):
                message = f"tile {reader.tile}, stage 0: the base has values that no picture has"
                raise IndexMismatch(message, reader.tile, 0)
            base = base.astype(np.int16)
            reader.end_stage(check_plane(base, step))
            yield base, step

    def bits(self, base: np.ndarray, step: int) -> np.ndarray:
        """Return what each value of a base (3, rows, columns) costs, in bits: float32 of the same shape."""
        left, contexts = analysed(base, step)
        symbols = _symbols(left)
        costs = np.stack([self._costs[plane][contexts[plane], symbols[plane]] for plane in range(PLANES)])
        return costs + np.where(symbols == ESCAPE, np.float32(9), np.float32(0))


def choose_steps(
    coder: BaseCoder, means: np.ndarray, usual: float, tile: int, budget: float
) -> tuple[np.ndarray, np.ndarray]:
    """Quantize block means, each tile with the finest step that it can afford.

    Plain tiles cost next to nothing in any step, and take one of a level. So flat and smooth pictures keep their
    colours at every quality.

    Args:
        coder: tells what a base costs.
        means: (3, h, w) YCoCg in levels.
        usual: step of luma that tiles have at least, in levels.
        tile: edge of a tile in positions.
        budget: bits per position that a tile may spend on a finer step than the usual one, beside `_FREE` bits.

    Returns:
        the base (3, h, w) int16, and the steps (h, w) uint8.
    """
    base = np.empty(means.shape, np.int16)
    steps = np.empty(means.shape[1:], np.uint8)
    coarsest = min(max(round(usual), 1), LARGEST_STEP)
    finer = sorted((step for step in _LADDER if step < coarsest), reverse=True)
    for top in range(0, means.shape[1], tile):
        for left in range(0, means.shape[2], tile):
            place = slice(None), slice(top, top + tile), slice(left, left + tile)
            part = means[place]
            chosen, best = coarsest, quantized(part, coarsest)
            for step in finer:
                candidate = quantized(part, step)
                if coder.bits(candidate, step).sum() > budget * part[0].size + _FREE:
                    break
                chosen, best = step, candidate
            base[place] = best
            steps[place[1:]] = chosen
    return base, steps


def quantized(means: np.ndarray, step: float) -> np.ndarray:
    """Block means (3, h, w) in YCoCg levels as multiples of a step of luma, int16."""
    factors = np.array([1.0, CHROMA, CHROMA], np.float32)[:, None, None]
    return np.rint(means / (factors * np.float32(step))).astype(np.int16)


def count(base: np.ndarray, step: int) -> np.ndarray:
    """How often each symbol comes in each context of a base (3, rows, columns): (PLANES, CONTEXTS, ALPHABET)."""
    left, contexts = analysed(base, step)
    places = contexts.astype(np.int64) * ALPHABET + _symbols(left)
    size = CONTEXTS * ALPHABET
    return np.stack([np.bincount(plane.ravel(), minlength=size) for plane in places]).reshape(
        PLANES, CONTEXTS, ALPHABET
    )


def clipped(base: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """A base (3, h, w) with steps (h, w), limited to the values that files may hold. Same dtype as the base."""
    most = _most(steps)
    least = -most
    least[0] = 0
    return np.clip(base, least, most).astype(base.dtype)


def _most(steps: np.ndarray) -> np.ndarray:
    """Largest magnitudes (3, h, w) of a base in its steps (h, w)."""
    luma, chroma = (np.rint(255 / (factor * steps.astype(np.float64))) for factor in (1, CHROMA))
    return np.stack([luma, chroma, chroma]).astype(np.int16)


def check_plane(base: np.ndarray, step: int) -> np.ndarray:
    """The plane whose check the file holds, (1 + 3 rows, columns) uint16: a row of the step, then the planes."""
    rows = np.full((1, base.shape[2]), step, np.uint16)
    return np.concatenate([rows, base.reshape(-1, base.shape[2]).astype(np.int16).view(np.uint16)])


def analysed(base: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """What prediction leaves of a base (3, rows, columns), and the context of each value, both of its shape."""
    contexts = np.empty(base.shape, np.intp)
    _, rows, columns = base.shape
    row, column = (axis.ravel() for axis in np.indices((rows, columns)))
    padded = np.zeros((PLANES, rows + 1, columns + 1), np.int32)
    padded[:, 1:, 1:] = base
    left = np.zeros_like(padded)
    for plane in range(PLANES):
        sides = _neighbours(padded[plane], row, column, _start(plane, step))
        left[plane, 1:, 1:] = base[plane] - _expected(sides).reshape(rows, columns)
    errors = np.abs(left)
    for plane in range(PLANES):
        sides = _neighbours(padded[plane], row, column, _start(plane, step))
        _, context = _foreseen(sides, *_leftovers(errors, plane, row, column))
        contexts[plane] = context.reshape(rows, columns)
    return left[:, 1:, 1:], contexts


def diagonals(rows: int, columns: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of the positions of each diagonal of a tile, from the top left on, each from top to bottom."""
    found = []
    for number in range(rows + columns - 1):
        row = np.arange(max(0, number - columns + 1), min(rows, number + 1))
        found.append((row, number - row))
    return found


def _start(plane: int, step: int) -> int:
    """What the first value of a tile is predicted as."""
    return 0 if plane else (128 + step // 2) // step


def _neighbours(
    padded: np.ndarray, row: np.ndarray, column: np.ndarray, start: int | np.ndarray
) -> np.ndarray:
    """Values to the left, above, and above to the left of positions: (3, ..., n).

    Args:
        padded: planes (..., rows + 1, columns + 1), below a row and right of a column of anything.
        row, column: of the positions, (n,).
        start: value of all three at the first position, (..., 1) of several planes.
    """
    west, north = padded[..., row + 1, column], padded[..., row, column + 1]
    corner = padded[..., row, column]
    # At the edges, what is there stands for what is not.
    top, side = row == 0, column == 0
    west, north = np.where(side, north, west), np.where(top, west, north)
    corner = np.where(top, west, np.where(side, north, corner))
    found = np.stack([west, north, corner])
    found[..., top & side] = start
    return found


def _leftovers(errors: np.ndarray, plane: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Sums of what was left over to the left and above, and in the planes before at the same position: (2, ..., n).

    Args:
        errors: magnitudes, (..., PLANES, rows + 1, columns + 1), below a row and right of a column of zeros.
        plane: number of the plane.
        row, column: of the positions, (n,).
    """
    own = errors[..., plane, :, :]
    near = own[..., row + 1, column] + own[..., row, column + 1]
    return np.stack([near, errors[..., :plane, row + 1, column + 1].sum(-2)])


def _expected(sides: np.ndarray) -> np.ndarray:
    """The value that is expected at positions, given what `_neighbours` returned, (3, ..., n)."""
    west, north, corner = sides
    return np.clip(west + north - corner, np.minimum(west, north), np.maximum(west, north))


def _foreseen(sides: np.ndarray, near: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value that is expected at positions, and their context.

    Args:
        sides: what `_neighbours` returned, (3, ..., n).
        near, before: what `_leftovers` returned, (..., n) each.
    """
    west, north, corner = sides
    activity = np.abs(west - corner) + np.abs(north - corner)
    context = np.searchsorted(_ACTIVITIES, activity, "right")
    context = context * (len(_NEAR) + 1) + np.searchsorted(_NEAR, near, "right")
    return _expected(sides), context * (len(_ERRORS) + 1) + np.searchsorted(_ERRORS, before, "right")


def _symbols(left: np.ndarray) -> np.ndarray:
    """Symbols 0 to ALPHABET - 1 of what prediction leaves."""
    return np.where(np.abs(left) > LARGEST, ESCAPE, left + LARGEST)


def _leftover(reader: TileReader, tables: np.ndarray) -> np.ndarray:
    """Decode what prediction left over at n positions, given their tables (n, ALPHABET)."""
    left = reader.decode(tables) - LARGEST
    escaped = left == ESCAPE - LARGEST
    if escaped.any():
        code = reader.decode(_ESCAPED, int(escaped.sum()))
        left[escaped] = (code // 2 + LARGEST + 1) * np.where(code % 2, -1, 1)
    return left
