"""Pictures of every kind come in as the eye sees them, and say what of them is lost."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bitstream import Metadata
from tests.support.exif import camera_exif
from tests.support.icc import cmyk_profile, grey_profile, rgb_profile
from vqcodec.errors import ImageError, LossWarning
from vqcodec.image.canvas import Canvas
from vqcodec.image.picture import Picture, from_pil, read

COLOURS = 2 * np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def silently(image: Image.Image) -> Picture:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_pil(image)


def saved(image: Image.Image, kind: str, **options: object) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


# --- orientation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_once(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "maker"
    options = {"lossless": True} if kind == "WEBP" else {}
    image = saved(Image.fromarray(COLOURS), kind, exif=exif, **options)
    picture = silently(image)
    assert np.array_equal(picture.pixels, np.asarray(ImageOps.exif_transpose(image)))
    kept = Image.Exif()
    kept.load(picture.metadata.exif)
    assert dict(kept) == {0x010F: "maker"}


def test_alpha_turns_with_the_picture() -> None:
    image = Image.fromarray(np.dstack([COLOURS, COLOURS[:, :, 1]]))
    picture = from_pil(image, Metadata(exif=camera_exif(6)))
    assert np.array_equal(picture.pixels, np.rot90(COLOURS, 3))
    assert np.array_equal(picture.alpha, np.rot90(COLOURS[:, :, 1], 3))


def test_orientation_counts_even_where_the_metadata_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "turned.png"
    Image.fromarray(COLOURS).save(path, exif=camera_exif(6))
    picture = read(path, keep_metadata=False)
    assert picture.pixels.shape == (7, 5, 3)
    assert picture.metadata == Metadata()


# --- modes ----------------------------------------------------------------------------------------------

# Alpha that is opaque everywhere counts as none.
EXACT = [
    ("RGB", False, False),
    ("RGBA", False, False),
    ("RGBX", False, False),
    ("L", True, False),
    ("1", True, False),
    ("LA", True, False),
    ("P", False, False),
    ("PA", False, False),
    ("YCbCr", False, False),
    ("HSV", False, False),
    ("LAB", False, False),
]


@pytest.mark.parametrize(("mode", "grey", "alpha"), EXACT)
def test_modes_without_loss(photo: Image.Image, mode: str, grey: bool, alpha: bool) -> None:
    image = photo.convert("P").convert("PA") if mode == "PA" else _convert(photo, mode)
    picture = silently(image)
    assert picture.grey == grey
    assert (picture.alpha is not None) == alpha
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def _convert(photo: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(photo, srgb, lab, outputMode="LAB")
    return photo.convert(mode)


def test_transparent_colours_of_palettes_become_alpha() -> None:
    image = Image.new("P", (4, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1, 0, 1])
    picture = silently(saved(image, "GIF", transparency=1))
    assert picture.alpha.tolist() == [[255, 0, 255, 0]]


def test_a_grey_palette_is_grey(photo: Image.Image) -> None:
    assert silently(photo.convert("L").convert("P")).grey
    assert not silently(photo.convert("P")).grey


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_sixteen_bits_of_grey_are_reduced_with_a_warning(mode: str) -> None:
    values = np.array([[0, 257, 32767, 65535]], np.uint16)
    order = ">u2" if mode == "I;16B" else "<u2"
    image = Image.frombytes(mode, (4, 1), values.astype(order).tobytes())
    with pytest.warns(LossWarning, match="reduced to 8 bits"):
        picture = from_pil(image)
    assert picture.grey
    assert picture.pixels[0, :, 0].tolist() == [0, 1, 127, 255]


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("I", [0, 100, 255, -5], [0, 100, 255, 0]),
        ("I", [0, 257, 65535, 0], [0, 1, 255, 0]),
        ("I", [0, 1 << 30, 1 << 31 - 1, 0], [0, 255, 255, 0]),
        ("F", [0.0, 0.5, 1.0, float("nan")], [0, 128, 255, 0]),
        ("F", [0.0, 100.4, 255.0, float("-inf")], [0, 100, 255, 0]),
        ("F", [0.0, 500.0, 1000.0, -1.0], [0, 128, 255, 0]),
    ],
)
def test_wide_numbers_are_fitted_with_a_warning(mode: str, values: list, expected: list) -> None:
    image = Image.new(mode, (4, 1))
    image.putdata(values)
    with pytest.warns(LossWarning, match="reduced to 8 bits"):
        assert from_pil(image).pixels[0, :, 0].tolist() == expected


def test_sixteen_bits_of_colour_are_reduced_with_a_warning(tmp_path: Path) -> None:
    # Pillow cannot write it, so the file is put together here.
    import struct
    import zlib

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    pixels = b"\0" + np.array([[1, 2, 3], [65535, 0, 257]], ">u2").tobytes()
    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )
    with pytest.warns(LossWarning, match="16 bits per channel are reduced to 8"):
        assert read(path).pixels.tolist() == [[[0, 0, 0], [255, 0, 1]]]


def test_transparency_of_sixteen_bits_survives() -> None:
    image = Image.frombytes("I;16", (3, 1), np.array([[0, 515, 65535]], "<u2").tobytes())
    image.info["transparency"] = 515
    with pytest.warns(LossWarning):
        assert from_pil(image).alpha.tolist() == [[255, 0, 255]]


def test_cmyk_without_profile_is_converted_with_a_warning(photo: Image.Image) -> None:
    image = photo.convert("CMYK")
    with pytest.warns(LossWarning, match="CMYK is converted to sRGB"):
        picture = from_pil(image)
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_cmyk_goes_through_its_profile() -> None:
    image = Image.new("CMYK", (2, 1))
    image.putpixel((1, 0), (0, 255, 0, 0))
    image.info["icc_profile"] = cmyk_profile()
    with pytest.warns(LossWarning, match="CMYK"):
        picture = from_pil(image)
    paper, ink = picture.pixels[0].astype(int)
    assert paper.min() > 250
    # Magenta ink is green in this profile, and in no other.
    assert ink[1] > 100 + ink[0]
    assert picture.metadata.icc is None


def test_cmyk_with_a_broken_profile_is_converted_plainly(photo: Image.Image) -> None:
    image = photo.convert("CMYK")
    image.info["icc_profile"] = b"no profile at all" * 10
    with pytest.warns(LossWarning, match="CMYK"):
        picture = from_pil(image)
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.metadata.icc is None


def test_several_frames_leave_the_first_with_a_warning() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "TIFF", "WEBP", "PNG", "AVIF"):
        image = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        with pytest.warns(LossWarning, match="only the first of several frames is kept"):
            red, green, blue = from_pil(image).pixels[0, 0]
        assert red > 200, kind
        assert max(green, blue) < 60, kind


# --- metadata -------------------------------------------------------------------------------------------


def test_profiles_stay_with_the_pixels_they_belong_to(photo: Image.Image) -> None:
    for image, profile in ((photo.copy(), rgb_profile()), (photo.convert("L"), grey_profile())):
        image.info["icc_profile"] = profile
        picture = silently(image)
        assert picture.metadata.icc == profile
        assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_a_profile_of_another_kind_is_dropped_with_a_warning(photo: Image.Image) -> None:
    image = photo.convert("L")
    image.info["icc_profile"] = rgb_profile()
    with pytest.warns(LossWarning, match="the ICC profile is not of the picture's kind"):
        assert from_pil(image).metadata.icc is None


def test_metadata_beyond_the_limit_is_dropped_with_a_warning() -> None:
    image = Image.new("RGB", (1, 1))
    image.info["xmp"] = bytes((1 << 24) + 1)
    with pytest.warns(LossWarning, match="XMP of 16777217 bytes is not kept"):
        assert from_pil(image).metadata.xmp is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_metadata_is_found_in_every_format_that_has_it(photo: Image.Image, kind: str) -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    options = {"icc_profile": rgb_profile(), "exif": b"Exif\0\0" + camera_exif(None), "xmp": xmp}
    if kind == "PNG":
        from PIL import PngImagePlugin

        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
    if kind == "TIFF":
        options["exif"] = Image.Exif()
        options["exif"][0x010F] = "Cameras & Sons"
        options["exif"][700] = options.pop("xmp")
    found = silently(saved(photo, kind, **options)).metadata
    exif = Image.Exif()
    exif.load(found.exif)
    assert exif[0x010F] == "Cameras & Sons"
    # Nothing of how a TIFF file stores its pixels.
    assert not set(exif) & {256, 257, 258, 259, 262, 273, 277, 278, 279, 700, 34675}
    assert found.icc == options["icc_profile"]
    assert found.xmp == xmp


# --- reading --------------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    data = (Path(__file__).parents[1] / "data" / "cat.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    faults = {
        "missing.jpg": "No such file",
        ".": "Is a directory",
        "text.jpg": "not a picture in a format that Pillow reads",
        "empty.png": "not a picture in a format that Pillow reads",
        "cut.jpg": "truncated",
    }
    for name, fault in faults.items():
        with pytest.raises(ImageError, match=fault) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_too_many_pixels_are_refused_before_they_are_read(
    photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.png"
    photo.save(path)
    assert read(path, max_pixels=160 * 107).pixels.shape == (107, 160, 3)
    with pytest.raises(ImageError, match="160x107 pixels are more than the limit of 17119"):
        read(path, max_pixels=160 * 107 - 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="decompression bomb"):
        read(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "TGA", "PPM", "JPEG2000"])
def test_damaged_files_are_a_picture_or_one_kind_of_error(
    photo: Image.Image, tmp_path: Path, kind: str
) -> None:
    file = io.BytesIO()
    photo.save(file, kind)
    path = tmp_path / "damaged"
    rng = np.random.default_rng(0)
    for _ in range(30):
        data = bytearray(file.getvalue())
        for position in rng.integers(0, min(len(data), 2000), 3):
            data[position] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data) + 1)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(ImageError):
                read(path, max_pixels=1 << 20)


# --- canvas ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_canvas_is_the_sum_of_its_parts(photo: Image.Image, mode: str, scale: int) -> None:
    pixels = np.asarray(photo)
    alpha = np.ascontiguousarray(pixels[:, :, 1]) if mode.endswith("A") else None
    canvas = Canvas(photo.size, mode.startswith("L"), alpha, scale=scale)
    for top in range(-32, 112, 48):
        for left in range(-16, 160, 64):
            part = np.zeros((48, 64, 3), np.uint8)
            inside = pixels[max(top, 0) : top + 48, max(left, 0) : left + 64]
            part[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]] = inside
            canvas.put(left, top, part)
    whole = photo.convert("L") if mode.startswith("L") else photo.copy()
    if alpha is not None:
        whole.putalpha(Image.fromarray(alpha))
    assert canvas.image.mode == mode
    assert np.array_equal(np.asarray(canvas.image), np.asarray(whole.reduce(scale)))
