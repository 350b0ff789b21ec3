"""Decoded pictures say what they are, in every format that has a place for it, and keep what they were told before."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import pytest
from PIL import Image

import vqcodec
from bitstream import Metadata
from tests.image.test_xmp import CAMERA, UNREADABLE, labels
from tests.support.exif import camera_exif
from tests.support.icc import rgb_profile
from vqcodec.codec import Codec, default_codec
from vqcodec.errors import LossWarning
from vqcodec.image import metadata as meta
from vqcodec.image.label import Label, label_of, labelled
from vqcodec.image.picture import read
from vqcodec.image.save import write_image
from vqcodec.image.software import with_software
from vqcodec.image.xmp import DIGITAL_SOURCE_TYPE, without_label

LABEL = Label("53be162d", 1.0, 0.125)
SAID = {
    "about": "",
    "Version": vqcodec.__version__,
    "Model": "53be162d",
    "Realism": "1",
    "Bpp": "0.125",
    "DigitalSourceType": DIGITAL_SOURCE_TYPE,
}
SOFTWARE = f"vqcodec {vqcodec.__version__}"
KINDS = ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


def written(image: Image.Image, kind: str, label: Label | None = LABEL) -> Image.Image:
    file = io.BytesIO()
    write_image(image, file, kind, label=label)
    return Image.open(file)


def with_info(image: Image.Image, **info: bytes) -> Image.Image:
    image = image.copy()
    image.info = dict(info)
    return image


# --- formats --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_without_metadata_gets_a_label(photo: Image.Image, kind: str) -> None:
    image = written(photo, kind)
    assert labels(image.info["xmp"]) == [SAID]
    assert image.getexif()[0x0131] == SOFTWARE
    assert label_of(image) == LABEL
    assert image.info.get("Software") == (SOFTWARE if kind == "PNG" else None)
    assert "icc_profile" not in image.info


@pytest.mark.parametrize("kind", KINDS)
def test_source_metadata_is_kept_beside_the_label(photo: Image.Image, kind: str) -> None:
    source = with_info(
        photo, icc_profile=rgb_profile(), exif=b"Exif\0\0" + camera_exif(None), xmp=CAMERA.encode()
    )
    image = written(source, kind)
    assert image.info["icc_profile"] == rgb_profile()
    assert without_label(image.info["xmp"]) == CAMERA.encode()
    assert labels(image.info["xmp"]) == [SAID]
    assert image.getexif()[0x010F] == "Cameras & Sons"
    # The program that wrote the source.
    assert image.getexif()[0x0131] == "abc"
    if kind != "TIFF":
        assert meta.as_exif(image.info["exif"]) == camera_exif(None)
    assert source.info["xmp"] == CAMERA.encode()


@pytest.mark.parametrize("kind", KINDS)
def test_xmp_that_cannot_be_read_is_kept_and_the_label_is_in_the_exif(photo: Image.Image, kind: str) -> None:
    source = with_info(photo, xmp=UNREADABLE["malformed"])
    with pytest.warns(LossWarning, match="the XMP cannot be read and stays without a label"):
        image = written(source, kind)
    assert image.info["xmp"] == UNREADABLE["malformed"]
    assert image.getexif()[0x0131] == SOFTWARE
    assert label_of(image) == Label()


@pytest.mark.parametrize("kind", ["GIF", "JPEG2000"])
def test_formats_with_comments_only_get_the_label_as_one(photo: Image.Image, kind: str) -> None:
    image = written(photo, kind)
    assert image.info["comment"].decode() == (
        f"{SOFTWARE}; Model=53be162d; Realism=1; Bpp=0.125; DigitalSourceType={DIGITAL_SOURCE_TYPE}"
    )
    assert label_of(image) == LABEL


@pytest.mark.parametrize("kind", ["BMP", "PPM", "TGA"])
def test_formats_without_a_place_for_it_are_written_all_the_same(photo: Image.Image, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = written(photo, kind)
    assert image.convert("RGB").tobytes() == photo.tobytes()
    assert label_of(image) is None


def test_in_jpeg_the_label_goes_before_xmp_that_is_too_long_with_it(photo: Image.Image) -> None:
    for blanks in (61000, 70000):
        source = with_info(photo, xmp=CAMERA.encode() + b" " * blanks)
        with pytest.warns(LossWarning, match="^XMP cannot be kept in JPEG"):
            image = written(source, "JPEG")
        assert labels(image.info["xmp"]) == [SAID]
        assert len(image.info["xmp"]) < 1000
        assert without_label(written(source, "PNG").info["xmp"]) == source.info["xmp"]


def test_in_jpeg_exif_that_is_almost_too_long_is_kept(photo: Image.Image) -> None:
    exif = with_software(None, "x").replace(struct.pack("<H", 0x0131), struct.pack("<H", 0x0132))
    exif += bytes(65490 - len(exif))
    image = written(with_info(photo, exif=b"Exif\0\0" + exif), "JPEG")
    assert meta.as_exif(image.info["exif"]) == exif


def test_without_a_label_nothing_is_said(photo: Image.Image) -> None:
    for kind in (*KINDS, "GIF", "JPEG2000"):
        image = written(photo, kind, None)
        assert label_of(image) is None
        assert "xmp" not in image.info
        assert 0x0131 not in image.getexif()


def test_pictures_are_the_same_with_and_without(photo: Image.Image) -> None:
    for kind in KINDS:
        assert written(photo, kind).tobytes() == written(photo, kind, None).tobytes()
        assert written(photo, kind).fp.getvalue() == written(photo, kind).fp.getvalue()


def test_other_pictures_have_no_label(photo: Image.Image) -> None:
    for info in ({}, {"xmp": CAMERA.encode()}, {"exif": camera_exif(None)}, {"comment": b"a comment"}):
        assert label_of(with_info(photo, **info)) is None
    assert label_of(with_info(photo, xmp=b"<", comment=b"vqcodec 7; Bpp=much; x")) == Label(version="7")


# --- for users of the library ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_images_can_be_labelled_for_pillow(codec: Codec, photo: Image.Image, kind: str) -> None:
    data = codec.compress(photo, metadata=Metadata(xmp=CAMERA.encode()))
    image = codec.decompress(data)
    assert image.info["xmp"] == CAMERA.encode()
    label = Label.of(data, codec.transform.realism)
    assert label == Label(codec.model_id.hex(), codec.transform.realism, 8 * len(data) / (160 * 107))
    out = labelled(image, label)
    assert out.tobytes() == image.tobytes()
    assert image.info["xmp"] == CAMERA.encode()
    assert labelled(out, label).info == out.info
    file = io.BytesIO()
    if kind == "PNG":
        write_image(out, file, kind)
    else:
        out.save(file, kind, exif=out.info["exif"], xmp=out.info["xmp"])
    found = label_of(Image.open(file))
    assert (found.model, found.realism) == (label.model, label.realism)
    assert found.bpp == pytest.approx(label.bpp, rel=1e-3)


def test_what_is_not_known_is_not_said(photo: Image.Image) -> None:
    image = written(photo, "PNG", Label())
    assert labels(image.info["xmp"]) == [
        {"about": "", "Version": vqcodec.__version__, "DigitalSourceType": DIGITAL_SOURCE_TYPE}
    ]
    assert label_of(image) == Label()


# --- generations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_after_ten_generations_there_is_one_label(
    codec: Codec, photo: Image.Image, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "picture"
    # By an artist instead of a program.
    exif = camera_exif(None).replace(struct.pack("<H", 0x0131), struct.pack("<H", 0x013B))
    data = codec.compress(photo, 10, metadata=Metadata(exif=exif, xmp=CAMERA.encode()))
    seen = []
    for _ in range(10):
        label = Label.of(data, 1.0)
        with path.open("wb") as file:
            write_image(codec.decompress(data), file, kind, label=label)
        with Image.open(path) as image:
            found = labels(image.info["xmp"])
            assert [said["Bpp"] for said in found] == [f"{label.bpp:.4g}"]
            assert without_label(image.info["xmp"]) == CAMERA.encode()
            assert dict(image.getexif()).items() >= {0x013B: "abc", 0x0131: SOFTWARE}.items()
        picture = read(path)
        seen.append(picture.metadata.exif)
        data = codec.compress(picture, 10)
    assert len(set(seen)) == 1
    if kind != "TIFF":
        assert seen[0] == with_software(exif, SOFTWARE)
