"""Colours look the same before and after, however a file states them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from bitstream import Metadata
from tests.support import signals as files
from tests.support.icc import rgb_profile
from vqcodec.codec import default_codec
from vqcodec.errors import LossWarning
from vqcodec.image import tiff
from vqcodec.image.colour import ADOBE
from vqcodec.image.keep import NONE, Keep
from vqcodec.image.picture import Picture, from_pil, read
from vqcodec.image.profile import rgb_profile as built

FAULTS = Path(__file__).parents[1] / "data" / "faults"
# Colours of all kinds, saturated ones among them.
PATCHES = np.random.default_rng(5).integers(0, 256, (6, 8, 3)).astype(np.uint8)
RAMP = np.linspace(0, 255, 32).astype(np.uint8)[None]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def silently(data: bytes, **options: object) -> Picture:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_pil(opened(data), **options)


def looks(picture: Picture) -> np.ndarray:
    """The sRGB pixels that a viewer with colour management shows."""
    image = Image.fromarray(picture.pixels)
    image = image.convert("L") if picture.grey else image
    image.info["icc_profile"] = picture.metadata.icc
    return files.seen(image).astype(float)


def there_and_back(picture: Picture | Image.Image, quality: float = 80) -> Image.Image:
    codec = default_codec()
    return codec.decompress(codec.compress(picture, quality))


# --- files that were wrong ------------------------------------------------------------------------------


def test_gama1_8_comes_back_as_bright_as_it_is() -> None:
    path = FAULTS / "gama1_8.png"
    with Image.open(path) as image:
        expected = files.to_srgb(np.asarray(image), exponent=1.0)
    back = there_and_back(read(path))
    assert "icc_profile" not in back.info
    assert np.abs(np.asarray(back).mean((0, 1)) - expected.mean((0, 1))).max() < 3
    assert abs(np.asarray(back).mean() - 145) < 4


@pytest.mark.parametrize(
    ("name", "space", "exponent"), [("chrm_adobe", "Adobe RGB", 2.2), ("cicp_p3", "P3", None)]
)
def test_chrm_adobe_and_cicp_p3_keep_their_numbers_and_get_a_profile(
    name: str, space: str, exponent: float | None
) -> None:
    path = FAULTS / f"{name}.png"
    picture = read(path)
    with Image.open(path) as image:
        stored = np.asarray(image)
    assert np.array_equal(picture.pixels, stored)
    assert len(picture.metadata.icc) < 600
    expected = files.to_srgb(stored, space, exponent)
    assert np.abs(looks(picture) - expected).max() < 2
    shown = files.seen(there_and_back(picture))
    assert np.abs(shown.mean((0, 1)) - expected.mean((0, 1))).max() < 3
    # Taken for sRGB, the difference would be larger than what the codec loses.
    assert np.abs(shown - expected).mean() < np.abs(stored - shown.astype(float)).mean() + 1


def test_p3_without_its_profile_keeps_its_red() -> None:
    picture = read(FAULTS / "p3.jpg", keep_metadata=False)
    stored = read(FAULTS / "p3.jpg").pixels
    red = (np.abs(stored.astype(int) - (231, 60, 50)) <= 3).all(2)
    assert red.sum() > 1000
    assert np.abs(picture.pixels[red].mean(0) - (252, 24, 28)).max() < 3
    back = there_and_back(picture)
    assert not back.info
    assert np.abs(np.asarray(back)[red].mean(0) - (252, 24, 28)).max() < 10


# --- PNG ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "space", "exponent"),
    [
        ([files.gama(1 / 1.8)], "sRGB", 1.8),
        ([files.gama(1.0)], "sRGB", 1.0),
        ([files.gama(0.45455)], "sRGB", None),
        ([files.gama(0.45455), files.chrm(files.SRGB_CHRM)], "sRGB", None),
        ([files.gama(1 / 1.8), files.chrm(files.SRGB_CHRM)], "sRGB", 1.8),
        ([files.gama(1.0), files.chrm(files.ADOBE_CHRM)], "Adobe RGB", 1.0),
        ([files.chrm(files.ADOBE_CHRM)], "Adobe RGB", None),
        ([files.png_chunk(b"sRGB", b"\0"), files.gama(1.0)], "sRGB", None),
        ([files.png_chunk(b"sRGB", b"\0"), files.gama(0.45455), files.chrm(ADOBE)], "sRGB", None),
        ([files.cicp(9, 13)], "BT.2020", None),
        ([files.cicp(12, 8)], "P3", 1.0),
        ([files.cicp(12, 4)], "P3", 2.2),
        ([files.cicp(1, 13), files.gama(1.0)], "sRGB", None),
        ([files.cicp(9, 14), files.png_chunk(b"sRGB", b"\0")], "BT.2020", None),
        ([files.cicp(2, 2), files.gama(1.0)], "sRGB", 1.0),
    ],
)
def test_chunks_of_png_count_in_their_order(chunks: list[bytes], space: str, exponent: float | None) -> None:
    data = files.png(Image.fromarray(PATCHES), *chunks)
    expected = files.to_srgb(PATCHES, space, exponent)
    assert np.abs(looks(silently(data)) - expected).max() < 3
    assert np.abs(silently(data, keep=NONE).pixels - expected).max() < 3
    assert silently(data, keep=NONE).metadata == Metadata()


def test_a_png_of_video_range_is_stretched() -> None:
    data = files.png(Image.fromarray(16 + PATCHES // 255 * 219), files.cicp(1, 13, 0))
    assert set(np.unique(silently(data).pixels)) <= {0, 255}


def test_a_profile_comes_before_gama_and_after_cicp() -> None:
    profile = built(ADOBE, 2.2, "Adobe")
    image = Image.fromarray(PATCHES)
    assert silently(files.png(image, files.gama(1.0), icc_profile=profile)).metadata.icc == profile
    picture = silently(files.png(image, files.cicp(12, 13), icc_profile=profile))
    assert np.abs(looks(picture) - files.to_srgb(PATCHES, "P3")).max() < 2
    # A profile is better than a cICP that cannot be followed.
    assert silently(files.png(image, files.cicp(9, 16), icc_profile=profile)).metadata.icc == profile


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_warns(transfer: int, name: str) -> None:
    image = Image.fromarray(PATCHES)
    for data in (files.png(image, files.cicp(9, transfer)), files.avif(image, 9, transfer)):
        with pytest.warns(LossWarning, match=f"^colours in {name} cannot be converted and will look wrong$"):
            from_pil(opened(data))


def test_impossible_chromaticities_warn() -> None:
    for points in ((0.0,) * 8, (0.3127, 0.329, *(0.3, 0.3) * 3), (0.9, 0.05, *files.SRGB_CHRM[2:])):
        with pytest.warns(LossWarning, match="the colours are described wrongly"):
            picture = from_pil(opened(files.png(Image.fromarray(PATCHES), files.chrm(points))))
        assert np.array_equal(picture.pixels, PATCHES)


def test_gama_counts_in_all_modes_of_png() -> None:
    expected = files.to_srgb(np.dstack([RAMP] * 3), exponent=1.0)
    grey = Image.fromarray(RAMP)
    palette = grey.convert("P")
    transparent = grey.copy()
    transparent.putalpha(Image.fromarray(RAMP[:, ::-1]))
    for image in (grey, palette, transparent, grey.convert("RGB")):
        picture = silently(files.png(image, files.gama(1.0)))
        assert picture.grey, image.mode
        shown = picture.pixels if picture.alpha is None else picture.pixels[:, :-1]
        assert np.abs(shown - expected[:, : shown.shape[1]]).max() < 1, image.mode


def test_gama_counts_where_a_palette_has_transparency() -> None:
    image = Image.new("P", (4, 1))
    image.putpalette([200, 0, 100, 0, 100, 0])
    image.putdata([0, 1, 0, 1])
    picture = silently(files.png(image, files.gama(1.0), transparency=b"\xff\x80"))
    expected = files.to_srgb(np.array([[200, 0, 100], [0, 100, 0]]), exponent=1.0)
    assert np.abs(picture.pixels[0, :2] - expected).max() < 1
    assert picture.alpha.tolist() == [[255, 128, 255, 128]]


def test_sixteen_bits_of_linear_light_keep_their_shadows() -> None:
    values = np.linspace(0, 600, 64).astype(np.uint16)[None]
    expected = files.to_srgb(np.dstack([values] * 3) / 257, exponent=1.0)
    grey = Image.frombytes("I;16", (64, 1), values.astype("<u2").tobytes())
    with pytest.warns(LossWarning, match="reduced to 8 bits"):
        picture = from_pil(opened(files.png(grey, files.gama(1.0))))
    assert np.abs(picture.pixels - expected).max() <= 0.5
    assert len(np.unique(picture.pixels)) > 15
    colours = np.dstack([values * 100, values * 50, values])
    with pytest.warns(LossWarning, match="16 bits per channel"):
        picture = from_pil(opened(files.png16(colours, files.gama(1 / 1.8))))
    assert np.abs(picture.pixels - files.to_srgb(colours / 257, exponent=1.8)).max() < 8


# --- other formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primaries", "transfer", "space", "exponent"),
    [(9, 13, "BT.2020", None), (12, 13, "P3", None), (1, 8, "sRGB", 1.0), (1, 13, "sRGB", None)],
)
def test_avif_says_its_colours_in_a_box(
    primaries: int, transfer: int, space: str, exponent: float | None
) -> None:
    data = files.avif(Image.fromarray(PATCHES.repeat(8, 0).repeat(8, 1)), primaries, transfer)
    stored = np.asarray(opened(data).convert("RGB"))
    assert np.abs(looks(silently(data)) - files.to_srgb(stored, space, exponent)).max() < 3


def test_tiff_says_its_colours_in_tags() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[318], tags[319] = ADOBE[:2], ADOBE[2:]
    image = Image.fromarray(PATCHES)
    for transfer in (None, 1.8, 1.0):
        if transfer is not None:
            tags[301] = tuple(round(65535 * (i / 255) ** transfer) for i in range(256)) * 3
        picture = silently(files.saved(image, "TIFF", tiffinfo=tags))
        expected = files.to_srgb(PATCHES, "Adobe RGB", transfer)
        assert np.abs(looks(picture) - expected).max() < 3, transfer
    del tags[318], tags[319]
    tags[301] = tuple(round(65535 * (i / 255) ** 1.8) for i in range(256))
    picture = silently(files.saved(image, "TIFF", tiffinfo=tags))
    assert picture.metadata.icc is None
    assert np.abs(picture.pixels - files.to_srgb(PATCHES, exponent=1.8)).max() < 1


def test_tiff_of_cielab_is_converted(photo: Image.Image) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(photo, srgb, lab, outputMode="LAB")
    data = files.saved(image, "TIFF")
    assert opened(data).mode == "LAB"
    picture = silently(data)
    assert picture.metadata.icc is None
    assert np.abs(picture.pixels.astype(int) - np.asarray(photo)).mean() < 1
    back = there_and_back(picture)
    assert np.abs(np.asarray(back).mean((0, 1)) - np.asarray(photo).mean((0, 1))).max() < 4


def test_jpeg2000_says_its_colours_in_a_box() -> None:
    image = Image.fromarray(PATCHES.repeat(4, 0).repeat(4, 1))
    stored = np.asarray(image)
    assert np.array_equal(silently(files.jpeg2000(image, 16)).pixels, stored)
    channels = Image.merge("RGB", image.convert("YCbCr").split())
    assert np.abs(silently(files.jpeg2000(channels, 18)).pixels.astype(int) - stored).max() < 5
    assert silently(files.jpeg2000(image.convert("L"), 17)).grey
    profile = built(ADOBE, 2.2, "Adobe")
    picture = silently(files.jpeg2000(image, icc=profile))
    assert picture.metadata.icc == profile
    assert np.array_equal(picture.pixels, stored)
    # ROMM RGB has white at D50.
    white = silently(files.jpeg2000(Image.new("RGB", (32, 32), (255, 255, 254)), 21))
    assert looks(white).min() > 250
    with pytest.warns(LossWarning, match="colours in CIELab cannot be converted"):
        from_pil(opened(files.jpeg2000(image, 14)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_cameras_say_adobe_rgb_in_the_exif(kind: str) -> None:
    image = Image.fromarray(PATCHES.repeat(8, 0).repeat(8, 1))
    # Pillow does not write the index to TIFF files.
    exif = files.colour_exif(2) if kind == "TIFF" else b"Exif\0\0" + files.colour_exif(0xFFFF, "R03")
    options: dict[str, object] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    if kind == "TIFF":
        options["exif"] = Image.Exif()
        options["exif"].load(exif)
    else:
        options["exif"] = exif
    data = files.saved(image, kind, **options)
    stored = np.asarray(opened(data))
    picture = silently(data)
    assert np.array_equal(picture.pixels, stored)
    assert np.abs(looks(picture) - files.to_srgb(stored, "Adobe RGB", 563 / 256)).max() < 2
    assert tiff.colour_space(picture.metadata.exif) == "Adobe RGB"
    # In sRGB, the EXIF must not go on to say Adobe RGB.
    bare = silently(data, keep=Keep(icc=False))
    assert np.abs(bare.pixels - files.to_srgb(stored, "Adobe RGB", 563 / 256)).max() < 2
    assert tiff.colour_space(bare.metadata.exif) == "sRGB"


def test_exif_can_describe_primaries_and_gamma() -> None:
    exif = Image.Exif()
    exif[318], exif[319] = ADOBE[:2], ADOBE[2:]
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    image = Image.fromarray(PATCHES)
    for gamma in (None, 1.8, 2.2):
        if gamma is not None:
            exif.get_ifd(0x8769)[0xA500] = TiffImagePlugin.IFDRational(round(10 * gamma), 10)
        picture = silently(files.saved(image, "PNG", exif=exif))
        assert np.abs(looks(picture) - files.to_srgb(PATCHES, "Adobe RGB", gamma)).max() < 3, gamma


def test_exif_counts_only_where_nothing_else_does() -> None:
    image = Image.fromarray(PATCHES)
    exif = files.colour_exif(0xFFFF, "R03")
    profile = rgb_profile()
    assert silently(files.saved(image, "PNG", exif=exif, icc_profile=profile)).metadata.icc == profile
    assert silently(files.png(image, files.png_chunk(b"sRGB", b"\0"), exif=exif)).metadata.icc is None
    assert silently(files.saved(image, "PNG", exif=files.colour_exif(1))).metadata.icc is None
    with pytest.warns(LossWarning, match="the EXIF says that the colours are not sRGB, but not what"):
        from_pil(opened(files.saved(image, "PNG", exif=files.colour_exif(0xFFFF))))
