"""From every format that Pillow reads through a `.vqc` file and back to a usual one: size, mode and metadata."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from bitstream import Metadata
from tests.support.exif import camera_exif
from tests.support.icc import rgb_profile
from vqcodec.codec import default_codec
from vqcodec.errors import LossWarning, RequestError, WriteError
from vqcodec.image.picture import read
from vqcodec.image.save import format_of, write_image

# Suffix, mode that is saved, mode that comes back, and whether something is lost before compressing.
FORMATS = [
    ("avif", "RGBA", "RGBA", False),
    ("blp", "P", "RGB", False),
    ("bmp", "RGB", "RGB", False),
    ("dds", "RGBA", "RGBA", False),
    ("dib", "L", "L", False),
    ("gif", "L", "L", False),
    ("ico", "RGBA", "RGBA", False),
    ("im", "YCbCr", "RGB", False),
    ("jp2", "RGBA", "RGBA", False),
    ("jpg", "L", "L", False),
    ("jpg", "CMYK", "RGB", True),
    ("mpo", "RGB", "RGB", False),
    ("msp", "1", "L", False),
    ("pbm", "1", "L", False),
    ("pcx", "P", "RGB", False),
    ("pfm", "F", "L", True),
    ("pgm", "I", "L", True),
    ("png", "I;16", "L", True),
    ("png", "LA", "LA", False),
    ("ppm", "RGB", "RGB", False),
    ("qoi", "RGBA", "RGBA", False),
    ("sgi", "RGB", "RGB", False),
    ("spider", "F", "L", True),
    ("tga", "LA", "LA", False),
    ("tif", "I;16", "L", True),
    ("tif", "CMYK", "RGB", True),
    ("webp", "RGBA", "RGBA", False),
    ("xbm", "1", "L", False),
]


@pytest.mark.parametrize(("suffix", "mode", "expected", "lossy"), FORMATS)
def test_size_and_mode(
    photo: Image.Image,
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
    suffix: str,
    mode: str,
    expected: str,
    lossy: bool,
) -> None:
    photo = photo.resize((128, 128)) if suffix == "ico" else photo
    if mode.endswith("A"):
        photo = photo.copy()
        photo.putalpha(photo.convert("L"))
    source = tmp_path / f"photo.{suffix}"
    image = photo.convert("L").convert("F") if mode == "F" else photo.convert(mode)
    image.save(source, "SPIDER" if suffix == "spider" else None)
    picture = read(source)
    codec = default_codec()
    back = codec.decompress(codec.compress(picture, quality=20))
    assert any(issubclass(warning.category, LossWarning) for warning in recwarn) == lossy
    assert back.size == photo.size
    assert back.mode == expected
    if "A" in expected:
        with Image.open(source) as original:
            assert back.getchannel("A").tobytes() == original.convert("RGBA").getchannel("A").tobytes()


XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def written(image: Image.Image, kind: str) -> Image.Image:
    file = io.BytesIO()
    write_image(image, file, kind)
    return Image.open(file)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_metadata_reaches_the_file_that_is_written(photo: Image.Image, kind: str) -> None:
    codec = default_codec()
    metadata = Metadata(rgb_profile(), camera_exif(6), XMP)
    back = written(codec.decompress(codec.compress(photo, metadata=metadata)), kind)
    assert back.format == kind
    assert back.size == (107, 160)
    back.load()
    assert back.info["icc_profile"] == metadata.icc
    assert back.info["xmp"] == XMP
    exif = back.getexif()
    assert exif[0x010F] == "Cameras & Sons"
    assert exif[0x0131] == "abc"
    assert 0x0112 not in exif


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP", "PPM"])
def test_lossless_formats_hold_the_pixels_as_decoded(photo: Image.Image, kind: str) -> None:
    assert written(photo, kind).convert("RGB").tobytes() == photo.tobytes()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_colours_under_transparent_pixels_are_kept(photo: Image.Image, kind: str, mode: str) -> None:
    image = photo.convert(mode)
    image.putalpha(0)
    assert written(image, kind).convert("RGBA").tobytes() == image.convert("RGBA").tobytes()


def test_what_a_format_cannot_hold_is_a_warning(photo: Image.Image) -> None:
    image = photo.copy()
    image.info = {"icc_profile": rgb_profile(), "exif": b"Exif\0\0" + bytes(70000), "xmp": XMP}
    with pytest.warns(LossWarning, match="^ICC profile, EXIF, XMP cannot be kept in BMP"):
        written(image, "BMP")
    with pytest.warns(LossWarning, match="^EXIF cannot be kept in JPEG"):
        assert written(image, "JPEG").info["xmp"] == XMP
    assert set(image.info) == {"icc_profile", "exif", "xmp"}


@pytest.mark.parametrize("kind", ["JPEG", "PPM"])
def test_transparency_that_a_format_cannot_hold_is_an_error(photo: Image.Image, kind: str) -> None:
    with pytest.raises(WriteError, match=f"{kind} has no transparency"):
        written(photo.convert("RGBA"), kind)


def test_formats_are_told_by_suffix() -> None:
    assert format_of(".JPG") == "JPEG"
    assert format_of(".tiff") == "TIFF"
    for name in ("", ".txt", ".psd"):
        with pytest.raises(RequestError, match="no picture format with suffix"):
            format_of(name)
