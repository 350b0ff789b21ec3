import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitstream import CorruptChunk, Header, TrailingData, Truncated
from bitstream.chunks import pack_chunk, pack_varint, read_chunks, read_varints

HEAD = Header(1, 1, b"abcd", 1).pack()
numbers = st.integers(0, (1 << 35) - 1) | st.integers(0, 300)


def test_bytes_of_a_chunk():
    crc = zlib.crc32(HEAD + b"i\x03xyz").to_bytes(4, "little")
    assert pack_chunk(HEAD, b"i", b"xyz") == b"i\x03xyz" + crc


@pytest.mark.parametrize(
    ("value", "packed"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), ((1 << 32) - 1, "ffffffff0f")]
)
def test_bytes_of_a_varint(value, packed):
    assert pack_varint(value).hex() == packed


@given(st.lists(numbers, max_size=50), st.binary(max_size=10))
def test_varints_round_trip_whatever_follows(values, tail):
    packed = b"".join(map(pack_varint, values))
    read, size = read_varints(memoryview(packed + tail), len(values))
    assert read.tolist() == values
    assert size == len(packed)


@given(st.lists(numbers, min_size=1, max_size=20), st.data())
def test_varints_cut_anywhere(values, data):
    packed = b"".join(map(pack_varint, values))
    size = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(Truncated):
        read_varints(memoryview(packed[:size]), len(values))


@given(st.integers(0, 5), st.integers(0, 3))
def test_varints_of_six_bytes_or_not_in_shortest_form(before, after):
    for wrong in (b"\x80\x80\x80\x80\x80\x01", b"\x80\x00", b"\xff\xff\xff\xff\x00"):
        data = b"\x81\x01" * before + wrong + b"\x05" * after
        with pytest.raises(CorruptChunk):
            read_varints(memoryview(data), before + 1 + after)


def test_payload_ends_the_file_and_what_it_says_is_kept():
    data = HEAD + pack_chunk(HEAD, b"q", b"?") + pack_chunk(HEAD, b"P", b"12345")
    unknown, payload = read_chunks(memoryview(data), verify_payload=True)
    assert (unknown.tag, bytes(unknown.body), unknown.critical, unknown.intact) == (b"q", b"?", False, True)
    assert (payload.tag, bytes(payload.body), payload.critical, payload.missing) == (b"P", b"12345", True, 0)


@pytest.mark.parametrize("bit", range(8 * (len(HEAD) + 11)))
def test_every_single_bit_is_covered(bit):
    data = bytearray(HEAD + pack_chunk(HEAD, b"P", b"12345"))
    data[bit // 8] ^= 1 << bit % 8
    try:
        chunks = read_chunks(memoryview(data), verify_payload=True)
    except (CorruptChunk, TrailingData, Truncated):
        return
    assert not all(chunk.intact for chunk in chunks) or chunks[-1].missing
