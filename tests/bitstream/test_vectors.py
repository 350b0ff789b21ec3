"""The committed files: valid ones with what is in them, and malformed ones with what is said about them."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bitstream import (
    BadMagic,
    CorruptChunk,
    CorruptHeader,
    IndexMismatch,
    LimitExceeded,
    Metadata,
    TrailingData,
    Truncated,
    UnknownCriticalChunk,
    UnsupportedVersion,
    info,
    read,
    salvage,
    write,
)
from tests.bitstream import second_reader
from tests.bitstream.order0 import Stage, assert_same, decode, encode

VECTORS = Path(__file__).parents[1] / "vectors"
VALID = sorted(path.stem for path in (VECTORS / "valid").glob("*.vqc"))
# What each malformed file is refused with; the names say what is wrong.
MALFORMED = {
    "alpha_bomb": (CorruptChunk, "chunk A goes on after its alpha plane"),
    "alpha_empty": (CorruptChunk, "chunk A does not hold an alpha plane"),
    "alpha_lzma_cut": (CorruptChunk, "chunk A has no end marker"),
    "alpha_lzma_goes_on": (CorruptChunk, "chunk A goes on after its alpha plane"),
    "alpha_method_unknown": (CorruptChunk, "chunk A does not hold an alpha plane"),
    "alpha_not_lzma": (CorruptChunk, "chunk A does not decompress"),
    "alpha_one_over": (CorruptChunk, "chunk A goes on after its alpha plane"),
    "alpha_one_short": (CorruptChunk, "chunk A ends before its alpha plane does"),
    "alpha_twice": (CorruptChunk, "chunk A is there twice"),
    "alpha_two_values": (CorruptChunk, "chunk A does not hold an alpha plane"),
    "alpha_without_value": (CorruptChunk, "chunk A does not hold an alpha plane"),
    "check_of_first_plane": (
        IndexMismatch,
        "tile 0, stage 0: the decoded values are not those that were encoded",
    ),
    "check_of_last_plane": (
        IndexMismatch,
        "tile 11, stage 3: the decoded values are not those that were encoded",
    ),
    "chunk_after_payload": (TrailingData, "the file goes on after its payload (bytes: 10)"),
    "chunk_cut_after_tag": (Truncated, "the file ends inside the length of the chunk at offset 20"),
    "chunk_cut_in_body": (Truncated, "the file ends inside chunk i"),
    "chunk_cut_in_crc": (Truncated, "the file ends inside chunk i"),
    "chunk_cut_in_length": (Truncated, "the file ends inside the length of the chunk at offset 20"),
    "chunk_length_giant": (Truncated, "the file ends inside chunk i"),
    "chunk_length_not_shortest": (CorruptChunk, "a length is not in its shortest form"),
    "chunk_length_one_less": (CorruptChunk, "byte 0x06 at offset 29 is not a chunk tag"),
    "chunk_length_one_more": (CorruptChunk, "byte 0xb7 at offset 31 is not a chunk tag"),
    "chunk_length_over_32_bits": (LimitExceeded, "chunk at offset 20 claims 4294967296 bytes"),
    "chunk_length_six_bytes": (CorruptChunk, "a length takes more than five bytes"),
    "chunks_none": (Truncated, "the file ends before its payload"),
    "chunks_too_many": (LimitExceeded, "more than 256 chunks"),
    "crc_of_alpha": (CorruptChunk, "the checksum of chunk A is wrong"),
    "crc_of_icc": (CorruptChunk, "the checksum of chunk i is wrong"),
    "crc_of_payload": (CorruptChunk, "the checksum of chunk P is wrong"),
    "crc_of_unknown": (CorruptChunk, "the checksum of chunk z is wrong"),
    "crc_without_header": (CorruptChunk, "the checksum of chunk P is wrong"),
    "critical_unknown": (UnknownCriticalChunk, "chunk Z is critical, and not known here"),
    "downsampling_too_large": (CorruptHeader, "downsampling exponent is 7, not 2 to 6"),
    "downsampling_too_small": (CorruptHeader, "downsampling exponent is 1, not 2 to 6"),
    "empty": (Truncated, "the file ends inside the header (missing bytes: 20)"),
    "exif_deflate_cut": (CorruptChunk, "chunk e does not inflate"),
    "exif_not_deflate": (CorruptChunk, "chunk e does not inflate"),
    "flag_unknown": (UnsupportedVersion, "header flags 0x02 are not known to this version"),
    "header_changed": (CorruptChunk, "the checksum of chunk P is wrong"),
    "header_cut": (Truncated, "the file ends inside the header (missing bytes: 1)"),
    "header_only_magic": (Truncated, "the file ends inside the header (missing bytes: 16)"),
    "icc_method_unknown": (CorruptChunk, "chunk i has unknown compression 2"),
    "icc_twice": (CorruptChunk, "chunk i is there twice"),
    "icc_without_method": (CorruptChunk, "chunk i is empty"),
    "magic_as_utf8": (BadMagic, "not a .vqc file"),
    "magic_seven_bits": (BadMagic, "not a .vqc file"),
    "magic_wrong": (BadMagic, "not a .vqc file"),
    "payload_all_continuation": (CorruptChunk, "a length takes more than five bytes"),
    "payload_cut_before_crc": (Truncated, "the file ends inside its payload (missing bytes: 4)"),
    "payload_cut_before_index": (Truncated, "the file ends inside its payload (missing bytes: 955)"),
    "payload_cut_in_checks": (Truncated, "the file ends inside its payload (missing bytes: 813)"),
    "payload_cut_in_crc": (Truncated, "the file ends inside its payload (missing bytes: 1)"),
    "payload_cut_in_length": (Truncated, "the file ends inside the length of the chunk at offset 20"),
    "payload_cut_in_slice_lengths": (Truncated, "the file ends inside its payload (missing bytes: 948)"),
    "payload_cut_in_slices": (Truncated, "the file ends inside its payload (missing bytes: 40)"),
    "payload_empty": (CorruptChunk, "0 bytes of payload cannot index 48 slices"),
    "payload_none": (Truncated, "the file ends before its payload"),
    "payload_too_small": (CorruptChunk, "142 bytes of payload cannot index 48 slices"),
    "payload_twice": (TrailingData, "the file goes on after its payload (bytes: 958)"),
    "picture_larger_than_payload": (CorruptChunk, "951 bytes of payload cannot index 16384 slices"),
    "picture_smaller_than_payload": (
        IndexMismatch,
        "tile 0, stage 0: the decoded values are not those that were encoded",
    ),
    "pixels_too_many": (LimitExceeded, "16777216x16777216 pixels are more than 2**32"),
    "reserved_byte_set": (UnsupportedVersion, "reserved header byte 0x01 is not known to this version"),
    "slice_changed": (IndexMismatch, "tile 0, stage 0: the decoded values are not those that were encoded"),
    "slice_length_not_shortest": (CorruptChunk, "a length is not in its shortest form"),
    "slice_length_six_bytes": (CorruptChunk, "a length takes more than five bytes"),
    "slice_lengths_beyond_payload": (
        CorruptChunk,
        "index and slices are 4294967242 bytes longer than the payload",
    ),
    "slice_lengths_one_beyond": (CorruptChunk, "index and slices are 1 bytes longer than the payload"),
    "slice_lengths_use_up_index": (CorruptChunk, "the payload ends inside its index"),
    "slices_all_ones": (
        IndexMismatch,
        "tile 0, stage 0: the decoded values are not those that were encoded",
    ),
    "slices_gone": (IndexMismatch, "tile 0, stage 0: the decoded values are not those that were encoded"),
    "slices_too_many": (LimitExceeded, "1048576 tiles of 32 stages are more than 2**20 slices"),
    "stages_0": (CorruptHeader, "number of stages is 0, not 1 to 32"),
    "stages_33": (CorruptHeader, "number of stages is 33, not 1 to 32"),
    "tag_digit": (CorruptChunk, "byte 0x31 at offset 20 is not a chunk tag"),
    "tag_zero": (CorruptChunk, "byte 0x00 at offset 20 is not a chunk tag"),
    "tile_too_large": (CorruptHeader, "tile size exponent is 9, not 2 to 8"),
    "tile_too_small": (CorruptHeader, "tile size exponent is 1, not 2 to 8"),
    "tiles_swapped": (IndexMismatch, "tile 0, stage 0: the decoded values are not those that were encoded"),
    "trailing_byte": (TrailingData, "the file goes on after its payload (bytes: 1)"),
    "version_0": (UnsupportedVersion, "format version 0 is not supported, only 2"),
    "version_1": (UnsupportedVersion, "format version 1 is not supported, only 2"),
    "version_3": (UnsupportedVersion, "format version 3 is not supported, only 2"),
    "xmp_deflate_goes_on": (CorruptChunk, "chunk x does not inflate"),
    "xmp_inflates_too_far": (LimitExceeded, "chunk x inflates to more than 16777216 bytes"),
}


def load(name):
    """Bytes of a valid file, its planes, its stages, and the rest of its content by name."""
    data = (VECTORS / "valid" / f"{name}.vqc").read_bytes()
    with np.load(VECTORS / "valid" / f"{name}.npz") as file:
        content = dict(file)
    numbers = range(len(content["scales"]))
    stages = [
        Stage(int(content["scales"][n]), content[f"table_{n}"], int(content["before"][n])) for n in numbers
    ]
    return data, [content[f"plane_{n}"] for n in numbers], stages, content


STAGES = load("small")[2]


def metadata_of(content):
    present = {key: content[key].tobytes() for key in ("icc", "exif", "xmp") if key in content}
    return Metadata(**present)


def read_everything(data):
    container = read(data)
    container.alpha()
    return decode(container, STAGES)


def test_the_vectors_are_there():
    assert len(VALID) >= 16
    assert sorted(path.stem for path in (VECTORS / "malformed").iterdir()) == sorted(MALFORMED)


@pytest.mark.parametrize("name", VALID)
def test_valid(name):
    data, planes, stages, content = load(name)
    container = read(data)
    assert_same(decode(container, stages), planes)
    assert container.metadata == metadata_of(content)
    assert container.has_alpha == ("alpha" in content)
    if container.has_alpha:
        np.testing.assert_array_equal(container.alpha(), content["alpha"])
    assert info(data)["stages"] == len(planes)


@pytest.mark.parametrize("name", VALID)
def test_second_reader_agrees(name):
    data, planes, stages, content = load(name)
    found = second_reader.read(data, [(scale, table.tolist(), before) for scale, table, before in stages])
    header = read(data).header
    for field in ("width", "height", "model_id", "stages", "rate", "grey"):
        assert found[field] == getattr(header, field)
    assert_same(found["planes"], planes)
    for key in ("alpha", "icc", "exif", "xmp"):
        assert (key in found) == (key in content)
        if key in found:
            assert found[key] == content[key].tobytes()


# Deflate and LZMA may come out differently from another version of their libraries.
@pytest.mark.parametrize("name", sorted(set(VALID) - {"alpha", "metadata", "unknown_ancillary"}))
def test_writing_gives_the_same_bytes_again(name):
    data, planes, stages, content = load(name)
    header = read(data).header
    tiles = encode(header, planes, stages)
    assert write(header, tiles, metadata_of(content), content.get("alpha")) == data


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name):
    error, message = MALFORMED[name]
    data = (VECTORS / "malformed" / f"{name}.vqc").read_bytes()
    with pytest.raises(error) as caught:
        read_everything(data)
    assert type(caught.value) is error
    assert str(caught.value) == message


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_cost_no_memory(name):
    data = (VECTORS / "malformed" / f"{name}.vqc").read_bytes()
    error, _ = MALFORMED[name]
    tracemalloc.start()
    try:
        with pytest.raises(error):
            read_everything(data)
        # The dictionary of LZMA takes 4 MB; metadata may take its limit, twice.
        assert tracemalloc.get_traced_memory()[1] < (40 << 20 if name == "xmp_inflates_too_far" else 8 << 20)
    finally:
        tracemalloc.stop()


def test_truncated_vectors_decode_as_far_as_they_reach():
    _, planes, _, _ = load("small")
    for name, stages in (
        ("payload_cut_in_slices", 3),
        ("payload_cut_before_crc", 4),
        ("payload_cut_in_crc", 4),
    ):
        container = read((VECTORS / "malformed" / f"{name}.vqc").read_bytes(), allow_truncated=True)
        assert container.payload.complete.min() == stages
        assert_same(decode(container, STAGES[:stages]), planes[:stages])


def test_salvage_shows_what_the_checks_of_the_planes_confirm():
    _, planes, _, _ = load("small")
    container = salvage((VECTORS / "malformed" / "crc_of_payload.vqc").read_bytes())
    assert_same(decode(container, STAGES), planes)
    container = salvage((VECTORS / "malformed" / "slice_changed.vqc").read_bytes())
    with pytest.raises(IndexMismatch, match="tile 0, stage 0"):
        decode(container, STAGES)
    with pytest.raises(BadMagic):
        salvage((VECTORS / "malformed" / "magic_wrong.vqc").read_bytes())
