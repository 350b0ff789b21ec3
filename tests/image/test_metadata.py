"""EXIF and XMP keep everything but what the upright pixels already say."""

from __future__ import annotations

import pytest
from PIL import Image

from bitstream import Metadata
from tests.support.exif import camera_exif
from vqcodec.image import metadata as meta

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" xmp:Rating="5"/></x:xmpmeta>'
)
ELEMENTS = XMP.replace(b' tiff:Orientation="6"', b"").replace(
    b"</x:xmpmeta>", b"<tiff:Orientation>6</tiff:Orientation></x:xmpmeta>"
)


def tags(exif: bytes) -> dict[int, object]:
    read = Image.Exif()
    read.load(exif)
    return dict(read)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_in_both_byte_orders(orientation: int, order: str) -> None:
    assert meta.orientation(Metadata(exif=camera_exif(orientation, order=order))) == orientation


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_do_not_exist_count_as_upright(value: int) -> None:
    assert meta.orientation(Metadata(exif=camera_exif(value))) == 1


@pytest.mark.parametrize("xmp", [XMP, ELEMENTS])
def test_orientation_of_the_xmp_counts_where_the_exif_has_none(xmp: bytes) -> None:
    assert meta.orientation(Metadata(exif=camera_exif(None), xmp=xmp)) == 6
    assert meta.orientation(Metadata(exif=camera_exif(3), xmp=xmp)) == 3
    upright = meta.upright(Metadata(xmp=xmp))
    assert meta.orientation(upright) == 1
    assert b"Rating" in upright.xmp
    assert b"Orientation" not in upright.xmp


@pytest.mark.parametrize("order", "<>")
def test_only_the_orientation_goes_and_nothing_else_moves(order: str) -> None:
    before = camera_exif(6, order=order)
    after = meta.upright(Metadata(exif=before)).exif
    assert tags(after) == {tag: value for tag, value in tags(before).items() if tag != 0x0112}
    assert len(after) == len(before)
    assert after[-13:] == b"behind it all"


def test_exif_without_orientation_and_thumbnail_is_kept_to_the_byte() -> None:
    before = camera_exif(None)
    assert meta.upright(Metadata(exif=before)).exif == before


@pytest.mark.parametrize("order", "<>")
def test_the_thumbnail_goes(order: str) -> None:
    before = camera_exif(None, thumbnail=b"\xff\xd8 a small picture \xff\xd9", order=order)
    after = meta.upright(Metadata(exif=before)).exif
    assert b"small picture" not in after
    assert tags(after) == tags(before)
    assert len(after) == len(before)
    assert after.endswith(b"behind it all")


def test_exif_that_holds_nothing_but_the_orientation_goes_altogether() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert meta.upright(Metadata(exif=meta.as_exif(exif))).exif is None


@pytest.mark.parametrize("length", range(len(camera_exif(6, b"thumbnail"))))
def test_exif_that_is_cut_short_is_no_fault(length: int) -> None:
    cut = camera_exif(6, b"thumbnail")[:length]
    assert meta.orientation(Metadata(exif=cut)) in (1, 6)
    meta.upright(Metadata(exif=cut))


def test_directories_that_point_anywhere_are_no_fault() -> None:
    exif = camera_exif(6, b"thumbnail")
    for offset in range(4, len(exif) - 4):
        for value in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x08\0\0\0"):
            damaged = exif[:offset] + value + exif[offset + 4 :]
            meta.orientation(Metadata(exif=damaged))
            meta.upright(Metadata(exif=damaged))
