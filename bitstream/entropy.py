"""Symbols to bytes and back: a range coder with integer frequencies, on top of `constriction`.

A stream is one long binary fraction, most significant byte first, inside the interval that the symbols
select. Missing bytes count as zero. So a stream can end at any byte, a prefix decodes as far as it goes, and
the stream is at most one byte longer than the information in the symbols.
"""

import math

import constriction
import numpy as np

from .errors import CorruptStream

FREQUENCY_BITS = 16
FREQUENCY_SUM = 1 << FREQUENCY_BITS

_CODER_BITS = 24  # resolution of constriction's probabilities
_STEP = float(1 << (_CODER_BITS - FREQUENCY_BITS))
BLOCK = 1 << 18  # table entries converted at a time: 1 MB of float32, which stays in the cache

_categorical = constriction.stream.model.Categorical
_family = _categorical(perfect=False)
_WORD = np.dtype(">u4")
_WINDOW = 1 << 64


class Frequencies:
    """Tables of frequencies, checked and converted once for any number of symbols.

    Args:
        tables: (N, K) integers of at least 1; each row sums to `FREQUENCY_SUM`.

    Raises:
        ValueError: the tables are not as described above.
    """

    def __init__(self, tables: np.ndarray):
        self.weights = _weights(tables)

    def rows(self, numbers: np.ndarray) -> "Frequencies":
        """The tables of symbols (n,), given their numbers, 0 to N - 1."""
        chosen = object.__new__(Frequencies)
        chosen.weights = self.weights.take(numbers, 0)
        return chosen


class SymbolEncoder:
    """Range encoder for one stream.

    Symbols are integers 0 to K - 1 with 2 <= K <= 65536. Frequencies are integers of at least 1 that sum to
    `FREQUENCY_SUM` (2**16) over the alphabet.
    """

    def __init__(self):
        self._coder = constriction.stream.queue.RangeEncoder()
        self._marks: list[tuple[int, int]] = []

    def encode(self, symbols: np.ndarray, frequencies: np.ndarray | Frequencies) -> None:
        """Append symbols.

        Args:
            symbols: (n,) integers.
            frequencies: integers (or float32 with integer values), (K,) for all symbols or (n, K); or one of n
                tables that were checked before for each.

        Raises:
            ValueError: a symbol is outside the alphabet, or the frequencies are not as described above.
        """
        symbols = np.ascontiguousarray(symbols, np.int32)
        if symbols.ndim != 1:
            raise ValueError(f"symbols of shape {symbols.shape}, not (n,)")
        checked = isinstance(frequencies, Frequencies)
        tables = frequencies.weights if isinstance(frequencies, Frequencies) else frequencies
        if np.ndim(tables) == 2 and len(tables) != len(symbols):
            raise ValueError(f"{len(symbols)} symbols but {len(tables)} rows of frequencies")
        if len(symbols) and not 0 <= symbols.min() <= symbols.max() < np.shape(tables)[-1]:
            raise ValueError(f"symbols outside 0 to {np.shape(tables)[-1] - 1}")
        if checked:
            self._coder.encode(symbols, _family, tables)
        elif np.ndim(tables) == 1:
            self._coder.encode(symbols, _categorical(_weights(tables), perfect=False))
        else:
            for rows in _blocks(tables):
                self._coder.encode(symbols[rows], _family, _weights(tables[rows]))

    def bits(self) -> float:
        """Return the information encoded so far, in bits. The finished stream is at most one byte longer."""
        words, (_, span) = self._coder.pos()
        return 32 * words + 64 - math.log2(span)

    def mark(self) -> None:
        """Mark this place between two symbols. `finish` returns how many bytes decode up to here."""
        words, (lower, _) = self._coder.pos()
        self._marks.append((words, lower))

    def finish(self) -> tuple[bytes, list[int]]:
        """Return the stream, as short as possible, and the prefix lengths of the marks.

        Returns:
            the stream, and for each call of `mark` the length in bytes of the shortest prefix that decodes up
            to it, ascending.
        """
        words, (lower, span) = self._coder.pos()
        sealed = self._coder.get_compressed()
        prefix = int.from_bytes(sealed[:words].astype(_WORD).tobytes(), "big")
        window = int.from_bytes(sealed[words : words + 2].astype(_WORD).tobytes().ljust(8, b"\0"), "big")
        # `sealed` lies inside the interval. If its last 64 bits are below those of the lower end, sealing has
        # carried into the words before. Then the lower end counts from those words without the carry.
        low = (prefix - (window < lower) << 64) + lower
        for zeros in range(64, -1, -8):
            stream = low + (1 << zeros) - 1 >> zeros << zeros
            if stream < low + span:
                break
        data = stream.to_bytes(4 * words + 8, "big").rstrip(b"\0")
        return data, [_prefix_length(data, words, lower) for words, lower in self._marks]


class SymbolDecoder:
    """Range decoder for one stream, or for a prefix of one.

    Args:
        data: bytes from `SymbolEncoder.finish`. Missing bytes at the end count as zero, so a stream that is
            too short decodes to wrong symbols rather than to an error. Check the decoded symbols.
    """

    def __init__(self, data: bytes):
        words = np.frombuffer(bytes(data) + bytes(-len(data) % 4), _WORD)
        self._coder = constriction.stream.queue.RangeDecoder(words.astype(np.uint32))

    def decode(self, frequencies: np.ndarray | Frequencies, n: int | None = None) -> np.ndarray:
        """Decode the next symbols.

        Args:
            frequencies: as for the encoder, (K,) with `n`, or (n, K), or one of n checked tables for each.
            n: number of symbols, required (and allowed) only with frequencies (K,).

        Returns:
            (n,) int32, values 0 to K - 1.

        Raises:
            CorruptStream: the data cannot come from these frequencies.
            ValueError: the arguments are invalid.
        """
        if (np.ndim(frequencies) == 1) != (n is not None):  # type: ignore[arg-type]
            raise ValueError("n belongs to frequencies of shape (K,), and only to them")
        try:
            if isinstance(frequencies, Frequencies):
                return self._coder.decode(_family, frequencies.weights)
            if n is not None:
                return self._coder.decode(_categorical(_weights(frequencies), perfect=False), n)
            symbols = np.empty(len(frequencies), np.int32)
            for rows in _blocks(frequencies):
                symbols[rows] = self._coder.decode(_family, _weights(frequencies[rows]))
            return symbols
        except AssertionError as error:  # constriction reports invalid data like this
            raise CorruptStream("the range coder stream is damaged") from error


def _weights(frequencies: np.ndarray) -> np.ndarray:
    """Convert frequencies to weights whose cumulative table in constriction is exactly 2**8 times theirs.

    From weights w, constriction computes floor(cumulative w * scale) + symbol as cumulative probability in
    units of 2**-24, with scale = (2**24 - K) / sum(w). With w = 2**8 f - 1, every sum is an integer below
    2**24, which is exact in float32 in any order, and the scale is exactly 1. So nothing is rounded, and the
    cumulative probabilities are 2**8 times the cumulative frequencies.
    """
    weights = np.multiply(frequencies, np.float32(_STEP), dtype=np.float32)
    weights -= np.float32(1)
    size = weights.shape[-1] if weights.ndim in (1, 2) else 0
    if not 2 <= size <= FREQUENCY_SUM:
        raise ValueError(f"frequencies of shape {weights.shape}, not (K,) or (n, K)")
    # einsum takes a quarter of the time of sum.
    sums = np.einsum("...i->...", weights)
    if weights.size and (weights.min() < _STEP - 1 or np.any(sums != (1 << _CODER_BITS) - size)):
        raise ValueError(f"frequencies must be at least 1 and sum to {FREQUENCY_SUM}")
    return weights


def _blocks(frequencies: np.ndarray) -> list[slice]:
    step = max(BLOCK // max(frequencies.shape[1], 1), 1)
    return [slice(start, start + step) for start in range(0, len(frequencies), step)]


def _prefix_length(data: bytes, words: int, lower: int) -> int:
    """Return how many bytes of a stream decode everything before a mark, when zeros follow them.

    They do so if and only if the number that they form is not below the lower end of the interval at the
    mark. `lower` holds the 64 bits of that lower end after the first `words` words.
    """
    window = int.from_bytes(data[4 * words : 4 * words + 8].ljust(8, b"\0"), "big")
    room = (window - lower) % _WINDOW
    for cut in range(8, -1, -1):
        if window % (1 << 8 * cut) <= room:
            break
    return len(data[: 4 * words + 8 - cut].rstrip(b"\0"))
