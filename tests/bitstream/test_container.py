import json
import mmap
import zlib
from dataclasses import replace

import numpy as np
import pytest

import bitstream
from bitstream import (
    BitstreamError,
    CorruptChunk,
    Header,
    IndexMismatch,
    Metadata,
    Truncated,
    info,
    read,
    salvage,
    write,
)
from tests.bitstream.order0 import (
    BASE,
    assert_same,
    checked,
    decode,
    decode_tile,
    encode,
    random_planes,
    random_stages,
    tile_of,
)

HEADER = Header(300, 200, b"abcd", stages=4, rate=77, tile_log2=3)  # 6 tiles
RNG = np.random.default_rng(5)
# The base, two layers of which the first ends positions, and a finer layer.
STAGES = random_stages(RNG, [(BASE, 64, -1), (1, 32, -1), (1, 32, 1), (2, 8, -1)])
PLANES = random_planes(RNG, HEADER, STAGES)
TILES = encode(HEADER, PLANES, STAGES)
ALPHA = np.minimum(np.add.outer(np.arange(200), np.arange(300)), 255).astype(np.uint8)
METADATA = Metadata(icc=b"profile", exif=b"II*\0", xmp=b"<xmp/>" * 50)
FULL = write(HEADER, TILES, METADATA, ALPHA)
PLAIN = write(HEADER, TILES)


def index_size(header):
    """Bytes between the payload's length and its first slice, when all lengths take one byte."""
    return header.slices - 1 + 2 * header.slices


def test_everything_comes_back():
    container = read(FULL)
    assert container.header == HEADER
    assert container.metadata == METADATA
    assert container.has_alpha
    assert container.missing == 0
    np.testing.assert_array_equal(container.alpha(), ALPHA)
    np.testing.assert_array_equal(container.alpha(50, 20), ALPHA[50:70])
    assert_same(decode(container, STAGES), PLANES)


def test_a_file_without_extras_has_none():
    container = read(PLAIN)
    assert container.metadata == Metadata()
    assert not container.has_alpha
    assert container.alpha() is None
    assert [chunk.tag for chunk in container.chunks] == [b"P"]


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_fewer_stages_on_request(stages):
    assert_same(decode(read(PLAIN), STAGES[:stages]), PLANES[:stages])


def test_overhead_of_a_file_of_one_tile_and_eight_stages():
    header = Header(512, 512, b"abcd", stages=8)
    stages = random_stages(np.random.default_rng(0), [(1, 256, -1)] * 8)
    tiles = encode(header, random_planes(np.random.default_rng(0), header, stages), stages)
    slices = sum(len(part) for tile in tiles for part in tile.slices)
    # Header 20, tag 1, length 2, seven slice lengths of 2, eight checks of 2, CRC 4.
    assert len(write(header, tiles)) - slices == 57


def test_truncation_at_every_byte():
    """Whatever is cut off: strict reading refuses; tolerant reading gives exactly the complete stages."""
    start = len(PLAIN) - 4 - sum(len(part) for tile in TILES for part in tile.slices)
    ends = start + np.cumsum([len(tile.slices[stage]) for stage in range(4) for tile in TILES])
    for size in range(len(PLAIN)):
        with pytest.raises(Truncated) as caught:
            read(PLAIN[:size])
        if size >= 23:  # from here on the length of the payload is known
            assert caught.value.missing == len(PLAIN) - size
        if size < start:
            with pytest.raises(Truncated):
                read(PLAIN[:size], allow_truncated=True)
            continue
        container = read(PLAIN[:size], allow_truncated=True)
        assert container.missing == len(PLAIN) - size
        complete = (ends.reshape(4, 6) <= size).sum(0)
        np.testing.assert_array_equal(container.payload.complete, complete)
        for tile in range(6):
            if complete[tile] < 4:
                with pytest.raises(Truncated, match=f"only {complete[tile]} stages of tile {tile}"):
                    container.payload.tile(tile, complete[tile] + 1)
    assert size == len(PLAIN) - 1
    assert complete.tolist() == [4] * 6


@pytest.mark.parametrize("lost", [5, 20, 80, 140, 300, 400, 550])
def test_truncated_file_decodes_as_far_as_it_reaches(lost):
    container = read(PLAIN[:-lost], allow_truncated=True)
    for tile, complete in enumerate(container.payload.complete):
        if complete:
            planes = decode_tile(container, tile, STAGES[:complete])
            assert_same(planes, tile_of(HEADER, tile, PLANES)[:complete])


def test_a_prefix_that_ends_after_the_base_gives_the_base_of_the_whole_picture():
    size = 23 + index_size(HEADER) + sum(len(tile.slices[0]) for tile in TILES)
    container = read(PLAIN[:size], allow_truncated=True)
    assert container.payload.complete.min() == 1
    assert_same(decode(container, STAGES[:1]), PLANES[:1])
    assert read(PLAIN[: size - 1], allow_truncated=True).payload.complete.min() == 0


def test_all_of_a_truncated_tile_by_default():
    container = read(PLAIN[:-45], allow_truncated=True)
    assert [container.payload.tile(tile).stages for tile in range(6)] == container.payload.complete.tolist()
    with pytest.raises(Truncated, match="only 0 stages of tile 5 are there"):
        read(PLAIN[: 23 + index_size(HEADER)], allow_truncated=True).payload.tile(5)


def test_truncation_before_the_payload_leaves_nothing():
    with pytest.raises(Truncated):
        read(FULL[:100], allow_truncated=True)


def test_one_tile_needs_no_byte_of_the_others():
    """As for a region: with all other slices overwritten, the tile decodes if the payload is not verified."""
    for tile in range(6):
        ruined = bytearray(PLAIN)
        offset = 23 + index_size(HEADER)
        for stage in range(4):
            for other in range(6):
                size = len(TILES[other].slices[stage])
                if other != tile:
                    ruined[offset : offset + size] = b"\xaa" * size
                offset += size
        with pytest.raises(CorruptChunk):
            read(ruined)
        container = read(ruined, verify_payload=False)
        assert_same(decode_tile(container, tile, STAGES), tile_of(HEADER, tile, PLANES))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_any_buffer_can_be_read(kind):
    assert_same(decode(read(kind(FULL)), STAGES), PLANES)


def test_memory_map(tmp_path):
    path = tmp_path / "picture.vqc"
    path.write_bytes(FULL)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        container = read(data)
        assert_same(decode(container, STAGES), PLANES)
        del container


def test_other_frequencies_than_the_encoder_had_are_noticed():
    """What happens when a context model computes differently on another machine."""
    stages = list(STAGES)
    stages[1] = stages[1]._replace(table=stages[1].table[::-1].copy())
    with pytest.raises(IndexMismatch) as caught:
        decode(read(PLAIN), stages)
    assert caught.value.stage == 1


def test_planes_can_be_checked_one_by_one():
    payload = read(PLAIN).payload
    for tile in range(6):
        for stage, part in enumerate(tile_of(HEADER, tile, PLANES)):
            plane = checked(part)
            assert payload.check_plane(tile, stage, plane)
            assert not payload.check_plane(tile, stage, plane ^ 1)
    with pytest.raises(IndexError):
        payload.check_plane(6, 0, plane)


def test_salvage_of_a_damaged_slice_loses_that_tile_from_that_stage_on():
    damaged = bytearray(PLAIN)
    offset = 23 + index_size(HEADER) + sum(len(tile.slices[0]) for tile in TILES)  # stage 1 of tile 0
    damaged[offset] ^= 0x40
    with pytest.raises(CorruptChunk):
        read(damaged)
    container = salvage(damaged)
    assert container.damaged == ["the checksum of chunk P is wrong"]
    for tile in range(1, 6):
        assert_same(decode_tile(container, tile, STAGES), tile_of(HEADER, tile, PLANES))
    with pytest.raises(IndexMismatch) as caught:
        decode_tile(container, 0, STAGES)
    assert caught.value.tile == 0
    assert caught.value.stage <= 1


@pytest.mark.parametrize(("tag", "lost"), [(b"i", "icc"), (b"e", "exif"), (b"x", "xmp"), (b"A", "alpha")])
def test_salvage_leaves_out_damaged_extras(tag, lost):
    chunk = next(chunk for chunk in read(FULL).chunks if chunk.tag == tag)
    damaged = bytearray(FULL)
    damaged[chunk.offset + 3] ^= 1
    with pytest.raises(CorruptChunk):
        read(damaged)
    container = salvage(damaged)
    assert container.damaged == [f"the checksum of chunk {tag.decode()} is wrong"]
    assert container.has_alpha == (lost != "alpha")
    assert container.metadata == (METADATA if lost == "alpha" else replace(METADATA, **{lost: None}))
    assert_same(decode(container, STAGES), PLANES)


def test_salvage_of_an_intact_and_of_a_truncated_file():
    assert salvage(FULL).damaged == []
    container = salvage(PLAIN[:-45])
    assert container.missing == 45
    assert len(container.payload.slice(5, 3)) < len(TILES[5].slices[3])


@pytest.mark.parametrize(("tile", "stages"), [(6, None), (-1, None), (0, 5), (0, 0)])
def test_tiles_and_stages_that_the_file_does_not_have(tile, stages):
    with pytest.raises(IndexError):
        read(PLAIN).payload.tile(tile, stages)


def test_info():
    told = info(FULL)
    assert json.loads(json.dumps(told)) == told
    chunks = told.pop("chunks")
    assert [chunk["tag"] for chunk in chunks] == ["i", "e", "x", "A", "P"]
    assert chunks[0]["bytes"] == 1 + len(b"profile")
    assert told == {
        "width": 300,
        "height": 200,
        "mode": "RGBA",
        "bytes": len(FULL),
        "bpp": 8 * len(FULL) / 60000,
        "model_id": "61626364",
        "stages": 4,
        "rate": 77,
        "downsampling": 16,
        "tile_size": 128,
        "tiles": 6,
        "truncated": False,
        "missing_bytes": 0,
        "complete_stages": 4,
    }


def test_info_of_a_truncated_and_of_a_grey_file():
    told = info(PLAIN[:-45])
    assert (told["truncated"], told["missing_bytes"], told["complete_stages"]) == (True, 45, 3)
    header = replace(HEADER, grey=True)
    assert info(write(header, TILES))["mode"] == "L"
    with pytest.raises(BitstreamError):
        info(PLAIN[:-1] + b"!")


@pytest.mark.parametrize(
    ("tiles", "alpha", "message"),
    [
        (TILES[:-1], None, "5 tiles, but the header says 6"),
        ([*TILES[:-1], replace(TILES[-1], slices=(b"",))], None, "has not 4 stages"),
        (TILES, ALPHA.T, "alpha of shape"),
        (TILES, ALPHA.astype(float), "alpha of type float64"),
    ],
)
def test_what_does_not_fit_the_header_is_not_written(tiles, alpha, message):
    with pytest.raises(ValueError, match=message):
        write(HEADER, tiles, alpha=alpha)


def test_a_plane_is_two_dimensional_and_16_bit():
    for wrong in (np.zeros(4, int), np.full((2, 2), 65536), np.full((2, 2), -1)):
        with pytest.raises(ValueError, match="a plane has shape"):
            bitstream.plane_check(wrong)


def test_check_of_a_plane_is_half_the_crc_of_its_bytes():
    assert zlib.crc32(bytes([1, 0, 2, 0, 3, 0, 4, 1])) & 0xFFFF == 0x2480
    for kind in (np.uint16, np.int64, ">i4"):
        plane = np.array([[1, 3], [2, 260]], kind).T
        assert bitstream.plane_check(plane) == 0x2480


def test_bits_of_a_tile_grow_with_its_symbols():
    writer = bitstream.TileWriter()
    assert writer.bits() == 0
    writer.encode(np.zeros(100, int), np.full(4, 1 << 14))
    assert writer.bits() == pytest.approx(200, abs=0.1)
