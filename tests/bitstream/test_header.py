import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitstream import (
    HEADER_SIZE,
    BadMagic,
    CorruptHeader,
    Header,
    LimitExceeded,
    Tile,
    Truncated,
    UnsupportedVersion,
    read_header,
)

# Magic, version, flags, width - 1, height - 1, stages, geometry, rate, 0, model id.
PHOTO = Header(768, 512, b"\x0b\xad\xca\xfe", stages=8, rate=128)
PHOTO_BYTES = bytes.fromhex("d6565143 02 00 ff0200 ff0100 08 46 80 00 0badcafe")
EXTREME = Header(1, 1 << 24, bytes(4), 32, rate=255, downsample_log2=6, tile_log2=8, grey=True)
EXTREME_BYTES = bytes.fromhex("d6565143 02 01 000000 ffffff 20 68 ff 00 00000000")


@pytest.mark.parametrize(("header", "packed"), [(PHOTO, PHOTO_BYTES), (EXTREME, EXTREME_BYTES)])
def test_bytes_of_the_header(header, packed):
    assert header.pack() == packed
    assert len(packed) == HEADER_SIZE
    assert read_header(packed + b"whatever follows") == header


headers = st.builds(
    Header,
    width=st.integers(1, 70000),
    height=st.integers(1, 60000),
    model_id=st.binary(min_size=4, max_size=4),
    stages=st.integers(1, 32),
    rate=st.integers(0, 255),
    downsample_log2=st.integers(4, 6),
    tile_log2=st.integers(5, 8),
    grey=st.booleans(),
)


@given(headers)
def test_header_round_trip(header):
    assert read_header(header.pack()) == header


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (4, 1, "format version 1 is not supported, only 2"),
        (5, 2, "header flags 0x02 are not known"),
        (15, 1, "reserved header byte 0x01 is not known"),
    ],
)
def test_headers_of_another_version_are_refused(offset, value, message):
    changed = bytearray(PHOTO_BYTES)
    changed[offset] = value
    with pytest.raises(UnsupportedVersion, match=message):
        read_header(changed)


def byte_mostly(*usual):
    return st.sampled_from(usual).map(lambda value: bytes([value])) | st.binary(min_size=1, max_size=1)


# Were all bytes random, nearly all headers would be refused for their version, flags or reserved byte.
fields_of_headers = st.tuples(
    byte_mostly(2),
    byte_mostly(0, 1),
    st.binary(min_size=9, max_size=9),
    byte_mostly(0),
    st.binary(min_size=4, max_size=4),
).map(b"".join)


@given(fields_of_headers)
def test_any_header_is_read_or_refused_and_reading_is_the_inverse_of_packing(fields):
    packed = PHOTO_BYTES[:4] + fields
    try:
        header = read_header(packed)
    except (CorruptHeader, LimitExceeded, UnsupportedVersion):
        return
    assert header.pack() == packed


@pytest.mark.parametrize("size", range(HEADER_SIZE))
def test_header_cut_at_every_byte_says_how_much_is_missing(size):
    with pytest.raises(Truncated) as caught:
        read_header(PHOTO_BYTES[:size])
    assert caught.value.missing == HEADER_SIZE - size


def test_another_file_type_is_not_called_truncated():
    with pytest.raises(BadMagic):
        read_header(b"GIF")


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"height": 0},
        {"width": (1 << 24) + 1},
        {"stages": 0},
        {"stages": 33},
        {"rate": -1},
        {"rate": 256},
        {"downsample_log2": 1},
        {"tile_log2": 9},
        {"model_id": b"abc"},
    ],
)
def test_impossible_headers_cannot_be_made(wrong):
    fields = {"width": 10, "height": 10, "model_id": b"abcd", "stages": 1} | wrong
    with pytest.raises(CorruptHeader):
        Header(**fields)


def test_limits_on_pixels_and_slices():
    Header(1 << 16, 1 << 16, b"abcd", 32)
    with pytest.raises(LimitExceeded, match="pixels"):
        Header((1 << 16) + 1, 1 << 16, b"abcd", 1)
    with pytest.raises(LimitExceeded, match="slices"):
        Header(1 << 16, 1 << 16, b"abcd", 2, tile_log2=2)


def test_geometry_of_a_picture_whose_sides_are_no_multiples():
    header = Header(1030, 2049, b"abcd", 1)
    assert header.grid == (129, 65)
    assert header.tile_grid == (3, 2)
    assert header.tile(0) == Tile(0, 0, 64, 64)
    assert header.tile(1) == Tile(0, 64, 64, 1)
    assert header.tile(5) == Tile(128, 64, 1, 1)
    with pytest.raises(IndexError):
        header.tile(6)


@given(st.data())
def test_tiles_cover_the_grid_once_and_tiles_in_finds_those_that_a_rectangle_touches(data):
    header = Header(
        data.draw(st.integers(1, 300)),
        data.draw(st.integers(1, 300)),
        b"abcd",
        1,
        downsample_log2=3,
        tile_log2=2,
    )
    x = data.draw(st.integers(0, header.width - 1))
    y = data.draw(st.integers(0, header.height - 1))
    width = data.draw(st.integers(1, header.width - x))
    height = data.draw(st.integers(1, header.height - y))
    halo = data.draw(st.integers(0, 50))
    rows, columns = header.grid
    owner = {}
    for index in range(header.tiles):
        tile = header.tile(index)
        for row in range(tile.top, tile.top + tile.rows):
            for column in range(tile.left, tile.left + tile.columns):
                assert owner.setdefault((row, column), index) == index
    assert len(owner) == rows * columns
    pixels_y = range(max(y - halo, 0), min(y + height + halo, header.height))
    pixels_x = range(max(x - halo, 0), min(x + width + halo, header.width))
    touched = {owner[row >> 3, column >> 3] for row in pixels_y for column in pixels_x}
    assert header.tiles_in(x, y, width, height, halo) == sorted(touched)


@pytest.mark.parametrize("rectangle", [(0, 0, 0, 5), (-1, 0, 5, 5), (0, 0, 11, 5), (5, 5, 5, 6)])
def test_rectangles_outside_the_picture_are_refused(rectangle):
    with pytest.raises(ValueError, match="inside"):
        Header(10, 10, b"abcd", 1).tiles_in(*rectangle)
