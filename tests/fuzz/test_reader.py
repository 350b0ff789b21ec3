import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitstream import MAGIC, BitstreamError, read
from tests.fuzz.reader import decode_all, exercise, fuzz, seeds

TABLES = np.full((32, 16), 1 << 12)


def test_mutated_files_give_errors_of_ours_or_decode():
    outcomes = fuzz(runs=1500, seed=1)
    # The mutations are worth something only if they get past the first checks.
    everything = {"BadMagic", "CorruptChunk", "CorruptHeader", "IndexMismatch", "LimitExceeded"}
    everything |= {"TrailingData", "Truncated", "UnknownCriticalChunk", "UnsupportedVersion", "decoded"}
    assert set(outcomes) == everything


@given(st.binary(max_size=200))
def test_any_bytes_after_the_magic(tail):
    exercise(MAGIC + b"\x01\x00" + tail, TABLES)


@given(st.binary(max_size=60), st.integers(1, 32), st.integers(2, 6), st.integers(2, 8))
def test_any_bytes_after_a_good_header(tail, stages, downsample, tile):
    header = MAGIC + bytes([1, 0, 99, 0, 0, 99, 0, 0, stages, downsample << 4 | tile, 15, 0]) + b"abcd"
    exercise(header + tail, TABLES)


def test_every_bit_of_a_file_matters():
    data, tables = min(seeds(), key=lambda seed: len(seed[0]))
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            decode_all(read(flipped), tables)
