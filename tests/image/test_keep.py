"""Metadata is kept and dropped item by item, and positions go without a trace."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from bitstream import Metadata
from tests.support import signals as files
from tests.support.exif import camera_exif
from tests.support.icc import grey_profile, rgb_profile
from vqcodec.errors import LossWarning, RequestError
from vqcodec.image import tiff
from vqcodec.image.colour import ADOBE
from vqcodec.image.keep import ALL, NONE, Keep
from vqcodec.image.picture import from_pil
from vqcodec.image.profile import rgb_profile as built
from vqcodec.image.save import write_image

XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description xmp:Rating="5"
 exif:GPSLatitude="48,12.5N" exif:GPSLongitude = '16,22.3E' drone-dji:GpsLongtitude="16.3"
 dc:format="image/jpeg"><exif:GPSTimeStamp>2024-01-01</exif:GPSTimeStamp><exif:GPSAltitude/>
<exif:GPSDestination><rdf:Seq><rdf:li>47,1N</rdf:li></rdf:Seq></exif:GPSDestination>
<dc:subject>GPS: a receiver</dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""


def located_exif(order: str = "<") -> bytes:
    """EXIF with maker, position, and maker's note, whose offsets must not move."""
    maker, note = b"Cameras & Sons\0", b"note of the maker"
    gps = [(1, 2, 2, b"N\0\0\0"), (2, 5, 3, None), (0x1D, 2, 11, None)]
    values = {2: struct.pack(order + "6I", 48, 1, 12, 1, 31, 1), 0x1D: b"2024:01:02\0"}
    first = 8
    first_end = first + 2 + 12 * 4 + 4
    exif_at = first_end + len(maker) + 1
    exif_end = exif_at + 2 + 12 + 4
    gps_at = exif_end + len(note) + 1
    gps_end = gps_at + 2 + 12 * len(gps) + 4

    def directory(entries: list[tuple[int, int, int, bytes]]) -> bytes:
        body = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
        return struct.pack(order + "H", len(entries)) + body + bytes(4)

    def number(value: int) -> bytes:
        return struct.pack(order + "I", value)

    out = (b"II*\0" if order == "<" else b"MM\0*") + number(first)
    out += directory(
        [
            (0x010F, 2, len(maker), number(first_end)),
            (0x0131, 2, 4, b"abc\0"),
            (0x8769, 4, 1, number(exif_at)),
            (0x8825, 4, 1, number(gps_at)),
        ]
    )
    out += maker + b"\0" + directory([(0x927C, 7, len(note), number(exif_end))]) + note + b"\0"
    entries, at, data = [], gps_end, b""
    for tag, kind, count, value in gps:
        if value is None:
            value = number(at)
            data += values[tag]
            at += len(values[tag])
        entries.append((tag, kind, count, value))
    return out + directory(entries) + data + b"behind it all"


def tags(exif: bytes) -> dict[int, object]:
    found = Image.Exif()
    found.load(exif)
    return dict(found)


# --- positions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
def test_the_position_goes_and_nothing_else_moves(order: str) -> None:
    before = located_exif(order)
    loaded = Image.Exif()
    loaded.load(before)
    assert loaded.get_ifd(0x8825)[0x1D] == "2024:01:02"
    after = tiff.without_gps(before)
    assert len(after) == len(before)
    loaded.load(after)
    assert loaded[0x010F] == "Cameras & Sons"
    assert loaded[0x0131] == "abc"
    assert 0x8825 not in loaded
    assert loaded.get_ifd(0x8769)[0x927C] == b"note of the maker"
    assert after.endswith(b"behind it all")
    assert b"2024" not in after
    assert struct.pack(order + "2I", 48, 1) not in after
    for text in (b"Cameras & Sons", b"note of the maker"):
        assert after.index(text) == before.index(text)


def test_exif_without_position_stays_as_it_is() -> None:
    before = camera_exif(6, b"thumbnail")
    assert tiff.without_gps(before) == before


def test_exif_that_holds_nothing_but_the_position_goes_altogether() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    only = exif.tobytes().removeprefix(b"Exif\0\0")
    assert Keep(gps=False).of(Metadata(exif=only)).exif is None


@pytest.mark.parametrize("length", range(0, len(located_exif()), 3))
def test_positions_in_exif_that_is_cut_short_are_no_fault(length: int) -> None:
    tiff.without_gps(located_exif()[:length])
    tiff.as_srgb(located_exif()[:length])
    tiff.colour_space(located_exif()[:length])


def test_positions_that_point_anywhere_are_no_fault() -> None:
    exif = located_exif()
    for offset in range(4, len(exif) - 4):
        for value in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x08\0\0\0", b"\x0a\0\0\0"):
            damaged = exif[:offset] + value + exif[offset + 4 :]
            after = tiff.without_gps(damaged)
            assert len(after) in (0, len(damaged))
            (
                tiff.colour_space(damaged),
                tiff.chromaticities(damaged),
                tiff.gamma(damaged),
                tiff.as_srgb(damaged),
            )


def test_a_position_that_points_to_the_first_directory_does_not_erase_it() -> None:
    exif = bytearray(located_exif())
    at = exif.index(struct.pack("<HHI", 0x8825, 4, 1)) + 8
    exif[at : at + 4] = struct.pack("<I", 8)
    assert tags(tiff.without_gps(bytes(exif)))[0x010F] == "Cameras & Sons"


def test_positions_go_from_the_xmp() -> None:
    kept = Keep(gps=False).of(Metadata(xmp=XMP)).xmp
    for word in (b"48,12", b"16,22", b"16.3", b"2024", b"47,1N", b"GPSL", b"GpsL", b"GPSAltitude"):
        assert word not in kept, word
    for word in (b'xmp:Rating="5"', b'dc:format="image/jpeg"', b"GPS: a receiver", b"</x:xmpmeta>"):
        assert word in kept, word


def test_items_are_kept_one_by_one() -> None:
    whole = Metadata(rgb_profile(), located_exif(), XMP)
    assert ALL.of(whole) == whole
    assert NONE.of(whole) == Metadata()
    assert Keep.named("icc,xmp").of(whole) == Metadata(icc=whole.icc, xmp=XMP)
    assert Keep.named("exif").of(whole) == Metadata(exif=whole.exif)
    assert Keep.named(" icc , exif ", "gps") == Keep(xmp=False, gps=False)
    assert Keep.named(None, "gps,thumbnail") == Keep(gps=False, thumbnail=False)
    assert Keep.named("none") == NONE
    thumbnail = camera_exif(None, b"\xff\xd8 a small picture")
    assert b"small picture" not in Keep(thumbnail=False).of(Metadata(exif=thumbnail)).exif


@pytest.mark.parametrize(("keep", "drop"), [("iptc", ""), ("icc,all", ""), ("", "icc"), ("all", "GPS")])
def test_names_that_do_not_exist_are_one_line(keep: str, drop: str) -> None:
    with pytest.raises(RequestError, match=r"^--(keep|drop) knows .*, not '\w+'$"):
        Keep.named(keep, drop)


# --- formats without profiles ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["BMP", "PPM", "JPEG2000", "TGA"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_formats_without_profiles_get_srgb(photo: Image.Image, kind: str, mode: str) -> None:
    if mode == "RGBA" and kind in ("BMP", "PPM"):
        return
    image = photo.convert(mode)
    image.info["icc_profile"] = built(ADOBE, 2.2, "Adobe")
    file = io.BytesIO()
    with pytest.warns(
        LossWarning, match=f"^ICC profile cannot be kept in {kind}; the colours are converted to sRGB$"
    ):
        write_image(image, file, kind)
    back = np.asarray(Image.open(file).convert("RGB"))
    assert np.abs(back - files.to_srgb(np.asarray(photo), "Adobe RGB", 2.2)).max() < 2
    assert image.convert("RGB").tobytes() == photo.tobytes()


@pytest.mark.parametrize("kind", ["BMP", "WEBP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profiles_are_applied_where_they_cannot_stay(photo: Image.Image, kind: str, mode: str) -> None:
    if mode == "LA" and kind == "BMP":
        return
    image = photo.convert(mode)
    if mode == "LA":
        image.putalpha(200)
    image.info["icc_profile"] = grey_profile()
    file = io.BytesIO()
    with pytest.warns(LossWarning, match="ICC profile cannot be kept"):
        write_image(image, file, kind)
    back = Image.open(file).convert("RGB")
    expected = files.to_srgb(np.dstack([np.asarray(photo.convert("L"))] * 3), exponent=1.0)
    assert np.abs(np.asarray(back) - expected).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_that_is_not_wanted_is_applied_in_every_format(photo: Image.Image, kind: str) -> None:
    image = photo.copy()
    exif = b"Exif\0\0" + files.colour_exif(0xFFFF, "R03")
    image.info = {"icc_profile": built(ADOBE, 2.2, "Adobe"), "exif": exif, "xmp": XMP}
    file = io.BytesIO()
    write_image(image, file, kind, Keep(icc=False, xmp=False))
    back = Image.open(file)
    back.load()
    assert "icc_profile" not in back.info
    assert "xmp" not in back.info
    expected = files.to_srgb(np.asarray(photo), "Adobe RGB", 2.2)
    assert np.abs(np.asarray(back.convert("RGB")) - expected).mean() < 4
    # Read again, it means the same.
    again = from_pil(back)
    assert again.metadata.icc is None
    assert back.getexif().get_ifd(0x8769)[0xA001] == 1


def test_exif_with_its_directories_reaches_tiff(photo: Image.Image) -> None:
    image = photo.copy()
    image.info["exif"] = b"Exif\0\0" + located_exif()
    file = io.BytesIO()
    write_image(image, file, "TIFF")
    back = Image.open(file)
    assert back.getexif().get_ifd(0x8825)[0x1D] == "2024:01:02"
    assert back.getexif().get_ifd(0x8769)[0x927C] == b"note of the maker"
    assert back.convert("RGB").tobytes() == photo.tobytes()
