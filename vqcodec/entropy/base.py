"""The base of a picture to range coder streams and back, exactly.

Each value is predicted from its neighbours to the left and above by the median edge detector of LOCO-I (Weinberger et
al., 2000). What is left over is coded with a fixed frequency table. Three things choose the table: the activity of the
neighbours, how much was left over there, and, for chroma, what was left over at the same position in the planes before.

The symbols of a tile come in waves (see `vqcodec.entropy.waves`), so that all values of a wave, in all tiles, are
computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from bitstream import FREQUENCY_SUM, Frequencies, IndexMismatch, TileReader, TileWriter
from vqcodec.config import CHROMA
from vqcodec.entropy.waves import PLANES, Waves, waves

LARGEST = 24
"""Leftovers up to this have symbols of their own; larger ones follow an escape symbol."""

ALPHABET = 2 * LARGEST + 2
ESCAPE = ALPHABET - 1
LARGEST_STEP = 255
# Activity in steps from which on each further context holds.
_ACTIVITIES = (1, 2, 3, 5, 8, 13, 21)
# Leftovers of the neighbours, and of the planes before, in steps, from which on each further context holds.
_ERRORS = (1, 2, 4)
_NEAR = (1, 2, 4, 8)
CONTEXTS = (len(_ACTIVITIES) + 1) * (len(_NEAR) + 1) * (len(_ERRORS) + 1)
# Steps that tiles may have, besides the usual one of a quality.
_LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128)
# Bits that the first values of a tile take, whatever its step.
_FREE = 96
# Share of the positions of a tile from which on its base is nearly all that there is to code, and how many times as
# much it may then cost.
NEARLY_ALL, _ALONE = 0.98, 15
_STEPS = np.full(256, FREQUENCY_SUM // 256)
_ESCAPED = np.full(512, FREQUENCY_SUM // 512)


def _reached(limits: Sequence[int], factor: int) -> np.ndarray:
    """A table of a factor times how many of ascending limits a value has reached, by value up to the last of them."""
    return factor * np.searchsorted(limits, np.arange(limits[-1] + 1), "right")


# What each of the three adds to the number of a context; values beyond a table count as its last.
_OF_ERRORS = _reached(_ERRORS, 1)
_OF_NEAR = _reached(_NEAR, len(_ERRORS) + 1)
_OF_ACTIVITY = _reached(_ACTIVITIES, (len(_ERRORS) + 1) * (len(_NEAR) + 1))


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
        rows = tables.reshape(-1, ALPHABET)
        self._tables = Frequencies(rows)
        self._costs = 16 - np.log2(rows.astype(np.float32))

    def write(self, writers: Sequence[TileWriter], bases: Sequence[np.ndarray], steps: Sequence[int]) -> None:
        """Code the stage of the base of some tiles, and end it.

        Args:
            writers: one per tile.
            bases: of each tile, (3, rows, columns) integers.
            steps: of each tile, 1 to 255.
        """
        for writer, base, step in zip(writers, bases, steps, strict=True):
            writer.encode(np.array([step]), _STEPS)
            order = waves(*base.shape[1:])
            left, contexts = analysed(base, step)
            symbols = _symbols(left)
            start = 0
            # Up to the end of a wave with escaped values, all symbols are coded at once.
            for end in order.bounds[1:]:
                escaped = symbols[start:end] == ESCAPE
                if not escaped.any() and end < len(symbols):
                    continue
                writer.encode(symbols[start:end], self._tables.rows(contexts[start:end]))
                rest = left[start:end][escaped]
                if len(rest):
                    writer.encode(2 * (np.abs(rest) - LARGEST - 1) + (rest < 0), _ESCAPED)
                start = end
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
        order, size = waves(rows, columns), PLANES * rows * columns
        values = np.zeros((len(readers), size + PLANES), np.int32)
        errors = np.zeros_like(values)
        values[:, size:] = [_starts(step) for step in steps]
        for first, end in pairwise(order.bounds.tolist()):
            wave = slice(first, end)
            expected, activity = _expected(values.take(order.sides[:, wave], 1))
            contexts = _contexts(order, wave, activity, errors)
            left = np.stack(
                [
                    _leftover(reader, self._tables.rows(rows_of_tables))
                    for reader, rows_of_tables in zip(readers, contexts, strict=True)
                ]
            )
            errors[:, order.own[wave]] = np.abs(left)
            values[:, order.own[wave]] = expected + left
        bases = values[:, :size].reshape(-1, PLANES, rows, columns)
        for reader, base, step in zip(readers, bases, steps, strict=True):
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
        costs = np.empty(base.size, np.float32)
        costs[waves(*base.shape[1:]).own] = self._costs[contexts, symbols] + 9 * (symbols == ESCAPE)
        return costs.reshape(base.shape)


def choose_steps(
    coder: BaseCoder,
    means: np.ndarray,
    usual: float,
    tile: int,
    budget: float,
    smooth: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Quantize block means, each tile with the finest step that it can afford.

    Plain tiles cost next to nothing in any step, and take one of a level. So flat and smooth pictures keep their
    colours at every quality. Where the base is nearly all that there is to code, it may cost `_ALONE` times as much.

    Args:
        coder: tells what a base costs.
        means: (3, h, w) YCoCg in levels.
        usual: step of luma that tiles have at least, in levels.
        tile: edge of a tile in positions.
        budget: bits per position that a tile may spend on a finer step than the usual one, beside `_FREE` bits.
        smooth: (h, w) bool, positions that a fine base shows as they are.

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
            alone = smooth is not None and smooth[place[1:]].mean() >= NEARLY_ALL
            affordable = (_ALONE if alone else 1) * budget * part[0].size + _FREE
            for step in finer:
                candidate = quantized(part, step)
                if coder.bits(candidate, step).sum() > affordable:
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
    places = contexts * ALPHABET + _symbols(left)
    shape = PLANES, CONTEXTS, ALPHABET
    return np.bincount(places, minlength=math.prod(shape)).reshape(shape)


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
    """What prediction leaves of the values of a base (3, rows, columns), and which row of the tables each has.

    Returns:
        (n,) integers each, in the order of `waves`.
    """
    order = waves(*base.shape[1:])
    values = np.concatenate([base.ravel().astype(np.int32), _starts(step)])
    expected, activity = _expected(values.take(order.sides))
    left = values.take(order.own) - expected
    errors = np.zeros_like(values)
    errors[order.own] = np.abs(left)
    return left, _contexts(order, slice(None), activity, errors)


def _starts(step: int) -> np.ndarray:
    """What the first value of each plane of a tile is predicted as, (PLANES,) int32."""
    return np.array([(128 + step // 2) // step, 0, 0], np.int32)


def _expected(sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that are expected beside their neighbours, and the activity of these.

    Args:
        sides: values to the left, above, and above to the left, (..., 3, n).

    Returns:
        (..., n) each.
    """
    west, north, corner = sides[..., 0, :], sides[..., 1, :], sides[..., 2, :]
    across, down = north - corner, west - corner
    expected = np.clip(west + across, np.minimum(west, north), np.maximum(west, north))
    return expected, np.abs(across) + np.abs(down)


def _contexts(order: Waves, wave: slice, activity: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The rows of the tables for the values of a wave.

    Args:
        order: of the tile.
        wave: which of its values.
        activity: of their neighbours, (..., n).
        errors: magnitudes of what was left over, (..., values and starts).
    """
    near = errors.take(order.near[:, wave], -1).sum(-2)
    before = errors.take(order.before[:, wave], -1).sum(-2)
    contexts = CONTEXTS * order.planes[wave] + _OF_ACTIVITY.take(activity, mode="clip")
    contexts += _OF_NEAR.take(near, mode="clip")
    contexts += _OF_ERRORS.take(before, mode="clip")
    return contexts


def _symbols(left: np.ndarray) -> np.ndarray:
    """Symbols 0 to ALPHABET - 1 of what prediction leaves."""
    return np.where(np.abs(left) > LARGEST, ESCAPE, left + LARGEST)


def _leftover(reader: TileReader, tables: Frequencies) -> np.ndarray:
    """Decode what prediction left over of n values, given their tables."""
    left = reader.decode(tables) - LARGEST
    escaped = left == ESCAPE - LARGEST
    if escaped.any():
        code = reader.decode(_ESCAPED, int(escaped.sum()))
        left[escaped] = (code // 2 + LARGEST + 1) * np.where(code % 2, -1, 1)
    return left
