import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitstream import FREQUENCY_SUM, CorruptStream, Frequencies, SymbolDecoder, SymbolEncoder
from bitstream.entropy import BLOCK
from tests.bitstream.order0 import random_tables
from tests.bitstream.second_reader import RangeDecoder

UNEVEN = np.array([1, 65000, 500, 35])


def encode(*parts):
    encoder = SymbolEncoder()
    for symbols, frequencies in parts:
        encoder.encode(np.asarray(symbols), frequencies)
        encoder.mark()
    return encoder.finish()


def test_bytes_of_a_stream():
    data, ends = encode(([1, 1, 2, 0, 3, 1], UNEVEN), (range(10), np.full(1024, 64)))
    assert data.hex() == "f9c8193a42038e6c047fc294ce3dd20526"
    assert ends == [7, 17]


def test_bytes_of_a_stream_with_a_table_for_every_symbol():
    tables = np.array([[1, 65535], [32768, 32768], [65535, 1], [20000, 45536]], np.uint16)
    data, ends = encode(([0, 1, 1, 0], tables))
    assert data.hex() == "0000ffff7f"
    assert ends == [len(data)]


@pytest.mark.parametrize(
    "table",
    [
        UNEVEN,
        np.ones(65536, int),
        np.array([65535, 1]),
        np.array([1, 65535]),
        np.array([1] * 65535 + [1]),
        np.array([1] * 1023 + [FREQUENCY_SUM - 1023]),
        np.array([FREQUENCY_SUM - 1023] + [1] * 1023),
        random_tables(np.random.default_rng(0), 1, 1000)[0],
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_coder_uses_exactly_the_frequencies_given(table, shared):
    """What the coder does for one symbol is visible in its state; no rounding may show there."""
    scale = (2**64 - 1) >> 24
    below = np.cumsum(table) - table
    for symbol in {0, 1, len(table) // 2, len(table) - 2, len(table) - 1}:
        encoder = SymbolEncoder()
        encoder.encode(np.array([symbol]), table if shared else table[None])
        words, (lower, span) = encoder._coder.pos()
        assert span == scale * 256 * int(table[symbol]) << 32 * words
        assert lower == (scale * 256 * int(below[symbol]) << 32 * words) % 2**64


@st.composite
def messages(draw):
    """Parts of a message: symbols with one table, or with a table each; frequent symbols are drawn often."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.sampled_from([2, 3, 16, 32, 1000, 1024]))
        count = draw(st.integers(0, 200))
        tables = random_tables(rng, max(count, 1), size)
        if draw(st.booleans()):
            tables = np.ones_like(tables)
            tables[:, draw(st.integers(0, size - 1))] += FREQUENCY_SUM - size
        if draw(st.booleans()):
            parts.append((rng.integers(0, size, count), tables[0]))
        else:
            symbols = tables[:count].argmax(1) if draw(st.booleans()) else rng.integers(0, size, count)
            parts.append((symbols, tables[:count]))
    return parts


def decode_part(decoder, symbols, frequencies):
    return decoder.decode(frequencies, len(symbols) if frequencies.ndim == 1 else None)


@given(messages())
def test_round_trip_and_every_prefix_up_to_a_mark(message):
    data, ends = encode(*message)
    assert ends == sorted(ends)
    for parts, end in enumerate(ends, 1):
        decoder = SymbolDecoder(data[:end])
        for symbols, frequencies in message[:parts]:
            np.testing.assert_array_equal(decode_part(decoder, symbols, frequencies), symbols)


@given(messages())
def test_no_mark_could_be_a_byte_earlier(message):
    data, ends = encode(*message)
    for parts, end in enumerate(ends, 1):
        if end == 0:
            continue
        decoder = SymbolDecoder(data[: end - 1])
        try:
            decoded = [decode_part(decoder, *part) for part in message[:parts]]
        except CorruptStream:
            continue
        expected = [symbols for symbols, _ in message[:parts]]
        assert not np.array_equal(np.concatenate(decoded), np.concatenate(expected))


@given(messages())
def test_stream_is_at_most_one_byte_longer_than_its_information(message):
    encoder = SymbolEncoder()
    information = 0.0
    for symbols, frequencies in message:
        encoder.encode(symbols, frequencies)
        chosen = (
            frequencies[symbols] if frequencies.ndim == 1 else frequencies[np.arange(len(symbols)), symbols]
        )
        information += float(np.log2(FREQUENCY_SUM / chosen).sum())
    size = 8 * len(encoder.finish()[0])
    assert size <= encoder.bits() + 8 + 1e-6
    # The coder loses up to 2**-8 of its range to rounding at a symbol, hardly ever that much.
    assert (
        information - 1e-6 <= encoder.bits() <= information + 0.006 * sum(len(s) for s, _ in message) + 1e-6
    )


@given(messages())
@settings(max_examples=30)
def test_plain_python_decoder_agrees(message):
    data, _ = encode(*message)
    decoder = RangeDecoder(data)
    for symbols, frequencies in message:
        rows = np.broadcast_to(frequencies, (len(symbols), frequencies.shape[-1])).tolist()
        assert [decoder.symbol(row) for row in rows] == symbols.tolist()


@pytest.mark.parametrize("steps", range(1, 30))
def test_carry_into_the_bytes_before(steps):
    """Symbols whose interval always contains one half: whether the bytes are 7f ff.. or 80 00.. stays open.

    Now and then the interval begins so close below it that already constriction's own ending carries.
    """
    table = np.ones(FREQUENCY_SUM, int)
    encoder = SymbolEncoder()
    symbols = []
    for _ in range(steps):
        words, (lower, span) = encoder._coder.pos()
        half = 0 if words else 1 << 63
        symbols.append((half - lower) % 2**64 // (span >> 24) // 256)
        encoder.encode(np.array(symbols[-1:]), table)
        encoder.mark()
    data, ends = encoder.finish()
    for count, end in enumerate(ends, 1):
        np.testing.assert_array_equal(SymbolDecoder(data[:end]).decode(table, count), symbols[:count])


def test_tables_longer_than_one_block():
    rng = np.random.default_rng(3)
    tables = np.tile(random_tables(rng, 64, 32), (BLOCK // 32 // 64 + 1, 1))
    symbols = rng.integers(0, 32, len(tables))
    data, _ = encode((symbols, tables))
    np.testing.assert_array_equal(SymbolDecoder(data).decode(tables), symbols)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16, np.float32])
def test_type_of_the_frequencies_does_not_matter(kind):
    symbols = np.array([1, 1, 3, 0, 2])
    expected = encode((symbols, UNEVEN))
    assert encode((symbols, UNEVEN.astype(kind))) == expected
    assert encode((symbols, np.tile(UNEVEN, (5, 1)).astype(kind))) == expected


def test_tables_checked_once_give_the_same_bytes():
    rng = np.random.default_rng(0)
    tables, symbols, numbers = random_tables(rng, 5, 9), rng.integers(0, 9, 40), rng.integers(0, 5, 40)
    checked = Frequencies(tables).rows(numbers)
    data, _ = encode((symbols, checked))
    assert data == encode((symbols, tables[numbers]))[0]
    assert SymbolDecoder(data).decode(checked).tolist() == symbols.tolist()
    with pytest.raises(ValueError, match="40 symbols but 3 rows"):
        SymbolEncoder().encode(symbols, Frequencies(tables).rows(numbers[:3]))
    with pytest.raises(ValueError, match="symbols outside 0 to 8"):
        SymbolEncoder().encode(symbols + 1, checked)
    with pytest.raises(ValueError, match="at least 1 and sum to"):
        Frequencies(tables - 1)


def test_nothing_encodes_to_nothing():
    assert encode(([], UNEVEN)) == (b"", [0])
    assert SymbolDecoder(b"").decode(UNEVEN, 0).shape == (0,)
    assert SymbolDecoder(b"").decode(np.ones((0, 4)), None).shape == (0,)


def test_impossible_stream_is_a_bitstream_error():
    with pytest.raises(CorruptStream):
        SymbolDecoder(b"\xff" * 8).decode(UNEVEN, 1)
    with pytest.raises(CorruptStream):
        SymbolDecoder(b"\xff" * 8).decode(UNEVEN[None])


@pytest.mark.parametrize(
    ("symbols", "frequencies", "message"),
    [
        ([4], UNEVEN, "symbols outside 0 to 3"),
        ([-1], UNEVEN, "symbols outside 0 to 3"),
        ([[1]], UNEVEN, "shape"),
        ([1, 1], UNEVEN[None], "2 symbols but 1 rows"),
        ([0], np.array([65536, 0]), "at least 1"),
        ([0], np.array([65535, 2]), "sum to 65536"),
        ([0], np.array([65535, 0]), "at least 1"),
        ([0], np.array([65536]), "shape"),
        ([0], np.ones((1, 2, 3)), "shape"),
    ],
)
def test_misuse_of_the_encoder(symbols, frequencies, message):
    with pytest.raises(ValueError, match=message):
        encode((symbols, frequencies))


def test_misuse_of_the_decoder():
    with pytest.raises(ValueError, match="n belongs"):
        SymbolDecoder(b"").decode(UNEVEN)
    with pytest.raises(ValueError, match="n belongs"):
        SymbolDecoder(b"").decode(UNEVEN[None], 1)
