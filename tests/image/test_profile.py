"""Profiles are built right, applied right, and stay unless somebody drops them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from bitstream import Metadata
from tests.support import signals as files
from tests.support.icc import cmyk_profile, grey_profile, rgb_profile
from vqcodec.codec import default_codec
from vqcodec.errors import LossWarning
from vqcodec.image.colour import ADOBE, SRGB, Colours, meaning_of
from vqcodec.image.keep import NONE
from vqcodec.image.picture import Picture, from_pil, read
from vqcodec.image.profile import rgb_profile as built
from vqcodec.image.srgb import ToSrgb

FAULTS = Path(__file__).parents[1] / "data" / "faults"
P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
# Colours of all kinds, saturated ones among them.
PATCHES = np.random.default_rng(5).integers(0, 256, (6, 8, 3)).astype(np.uint8)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def silently(data: bytes, **options: object) -> Picture:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_pil(opened(data), **options)


def there_and_back(picture: Picture | Image.Image, quality: float = 80) -> Image.Image:
    codec = default_codec()
    return codec.decompress(codec.compress(picture, quality))


# --- profiles that go --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_profiles_are_applied_where_they_are_not_kept(photo: Image.Image, kind: str) -> None:
    data = files.saved(photo, kind, icc_profile=built(P3, None, "P3"))
    stored = np.asarray(opened(data))
    assert np.array_equal(silently(data).pixels, stored)
    assert np.abs(silently(data, keep=NONE).pixels - files.to_srgb(stored, "P3")).max() < 2


def test_srgb_profiles_change_nothing_when_they_go(photo: Image.Image) -> None:
    data = files.saved(photo, "PNG", icc_profile=rgb_profile())
    assert np.array_equal(silently(data, keep=NONE).pixels, np.asarray(photo))


def test_grey_profiles_are_applied_where_they_are_not_kept(photo: Image.Image) -> None:
    grey = photo.convert("L")
    picture = silently(files.saved(grey, "PNG", icc_profile=grey_profile()), keep=NONE)
    expected = files.to_srgb(np.dstack([np.asarray(grey)] * 3), exponent=1.0)
    assert picture.grey
    assert np.abs(picture.pixels - expected).max() < 2


def test_broken_profiles_warn_where_they_are_not_kept(photo: Image.Image) -> None:
    broken = rgb_profile()[:200]
    image = photo.copy()
    image.info["icc_profile"] = broken
    assert from_pil(image).metadata.icc == broken
    with pytest.warns(
        LossWarning, match="^the ICC profile cannot be applied; the colours are taken for sRGB"
    ):
        assert np.array_equal(from_pil(image, keep=NONE).pixels, np.asarray(photo))


def test_cmyk_comes_back_as_its_profile_shows_it(photo: Image.Image) -> None:
    plain = photo.convert("CMYK")
    for profile in (None, cmyk_profile()):
        image = plain.copy()
        image.info["icc_profile"] = profile
        with pytest.warns(LossWarning, match="CMYK is converted to sRGB"):
            picture = from_pil(image)
        assert picture.metadata.icc is None
        back = there_and_back(picture)
        assert np.abs(np.asarray(back).mean((0, 1)) - picture.pixels.mean((0, 1))).max() < 8


# --- metadata from elsewhere ----------------------------------------------------------------------------


def test_metadata_without_a_profile_means_srgb() -> None:
    data = files.png(Image.fromarray(PATCHES), files.cicp(12, 13))
    expected = files.to_srgb(PATCHES, "P3")
    assert np.abs(from_pil(opened(data), Metadata()).pixels - expected).max() < 2
    assigned = from_pil(opened(data), Metadata(icc=rgb_profile()))
    assert np.array_equal(assigned.pixels, PATCHES)
    assert assigned.metadata.icc == rgb_profile()


def test_images_that_are_loaded_already_still_have_their_colours(tmp_path: Path) -> None:
    path = tmp_path / "p3.png"
    path.write_bytes(files.png(Image.fromarray(PATCHES), files.cicp(12, 13)))
    with Image.open(path) as image:
        image.load()
        assert from_pil(image).metadata.icc == read(path).metadata.icc is not None


def test_the_plugin_keeps_colours(tmp_path: Path) -> None:
    import vqcodec.plugin  # noqa: F401 - registers the format

    with Image.open(FAULTS / "cicp_p3.png") as image:
        image.save(tmp_path / "p3.vqc")
    with Image.open(tmp_path / "p3.vqc") as image:
        assert image.info["icc_profile"] == read(FAULTS / "cicp_p3.png").metadata.icc


# --- profiles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [None, 1.8, 2.2])
@pytest.mark.parametrize(("space", "points"), [("Adobe RGB", ADOBE), ("P3", P3), ("sRGB", SRGB)])
def test_profiles_mean_what_they_were_made_of(
    space: str, points: tuple[float, ...], exponent: float | None
) -> None:
    pixels = PATCHES.copy()
    profile = built(points, exponent, "some name")
    ToSrgb(profile).pixels(pixels)
    assert np.abs(pixels - files.to_srgb(PATCHES, space, exponent)).max() < 2
    assert ToSrgb(profile).changes == ((space, exponent) not in {("sRGB", None)})
    assert "some name" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))


def test_codes_of_h273_all_have_a_meaning() -> None:
    for primaries in range(25):
        for transfer in range(20):
            colours = Colours.coded(primaries, transfer)
            if colours is not None:
                meaning = meaning_of(colours, grey=False)
                assert meaning.icc is None or ToSrgb(meaning.icc).greys is not None
