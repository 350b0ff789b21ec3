"""EXIF is told which program wrote it, and nothing else in it changes or moves."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from bitstream import Metadata
from tests.support.exif import camera_exif
from vqcodec.image import metadata as meta
from vqcodec.image.software import with_software


def tags(exif: bytes) -> dict[int, object]:
    read = Image.Exif()
    read.load(exif)
    return dict(read)


@pytest.mark.parametrize("order", "<>")
def test_the_program_is_added_where_none_is_named(order: str) -> None:
    # By an artist instead of a program.
    before = camera_exif(6, b"thumbnail", order).replace(
        struct.pack(order + "HH", 0x0131, 2), struct.pack(order + "HH", 0x013B, 2)
    )
    after = with_software(before, "vqcodec 0.1.0")
    assert tags(after) == tags(before) | {0x0131: "vqcodec 0.1.0"}
    # All that offsets may point to stays in its place.
    assert after[8 : len(before)] == before[8:]
    assert meta.orientation(Metadata(exif=after)) == 6
    assert with_software(after, "other") == after
    upright = meta.upright(Metadata(exif=after)).exif
    assert tags(upright) == {tag: value for tag, value in tags(after).items() if tag != 0x0112}


def test_the_program_that_is_named_stays() -> None:
    assert with_software(camera_exif(6), "vqcodec 0.1.0") == camera_exif(6)


@pytest.mark.parametrize("name", ["v", "abc", "abcd", "vqcodec 0.1.0"])
def test_exif_can_begin_with_the_program(name: str) -> None:
    assert tags(with_software(None, name)) == {0x0131: name}


@pytest.mark.parametrize("length", range(len(camera_exif(6))))
def test_exif_that_is_cut_short_is_no_fault(length: int) -> None:
    cut = camera_exif(6).replace(struct.pack("<H", 0x0131), struct.pack("<H", 0x013B))[:length]
    after = with_software(cut, "vqcodec 0.1.0")
    assert after == cut or tags(after)[0x0131] == "vqcodec 0.1.0"


@pytest.mark.parametrize("exif", [b"", b"no TIFF", b"II*\0\xff\xff\xff\xff", camera_exif(6)[:20]])
def test_exif_that_is_damaged_stays_as_it_is(exif: bytes) -> None:
    assert with_software(exif, "vqcodec 0.1.0") == exif
