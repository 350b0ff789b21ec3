"""Pictures in black and white are recognised in any mode, and nothing else is taken for one."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from tests.support import signals as files
from tests.support.icc import grey_profile, rgb_profile
from vqcodec.codec import default_codec
from vqcodec.errors import LossWarning
from vqcodec.image.colour import ADOBE
from vqcodec.image.picture import Picture, from_pil
from vqcodec.image.profile import rgb_profile as built


def silently(image: Image.Image) -> Picture:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return from_pil(image)


def there_and_back(image: Image.Image, quality: float = 60) -> tuple[bytes, Image.Image]:
    codec = default_codec()
    data = codec.compress(image, quality)
    return data, codec.decompress(data)


def tinted(photo: Image.Image, tint: tuple[int, int, int]) -> Image.Image:
    """The photograph in black and white, with something added to its channels."""
    grey = np.asarray(photo.convert("L")).clip(10, 245).astype(int)
    return Image.fromarray((grey[..., None] + np.array(tint)).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "P", "YCbCr", "HSV", "PA"])
def test_black_and_white_in_any_mode_comes_back_as_grey(photo: Image.Image, mode: str) -> None:
    grey = photo.convert("L")
    image = grey.convert("P") if mode in ("P", "PA") else grey.convert("RGB").convert(mode)
    image = image.convert("PA") if mode == "PA" else image
    data, back = there_and_back(image)
    assert back.mode == "L"
    assert data == there_and_back(image.convert("L"))[0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP"])
def test_black_and_white_in_any_format_is_grey(photo: Image.Image, kind: str) -> None:
    image = Image.open(io.BytesIO(files.saved(photo.convert("L").convert("RGB"), kind)))
    assert silently(image).grey


@pytest.mark.parametrize("tint", [(0, 0, 0), (1, 0, 0), (0, 2, 0), (-1, 0, 1), (2, 2, 0)])
def test_tints_of_two_levels_are_grey(photo: Image.Image, tint: tuple[int, int, int]) -> None:
    picture = silently(tinted(photo, tint))
    assert picture.grey
    assert (picture.pixels == picture.pixels[:, :, :1]).all()
    assert np.abs(picture.pixels.astype(int) - np.asarray(tinted(photo, (0, 0, 0)))).max() <= 2


@pytest.mark.parametrize("tint", [(3, 0, 0), (0, 3, 0), (0, 0, -3), (-1, 0, 2)])
def test_tints_of_three_levels_are_colour(photo: Image.Image, tint: tuple[int, int, int]) -> None:
    image = tinted(photo, tint)
    picture = silently(image)
    assert not picture.grey
    assert np.array_equal(picture.pixels, np.asarray(image))
    assert there_and_back(image)[1].mode == "RGB"


@pytest.mark.parametrize("place", [(0, 0), (159, 106), (80, 53)])
def test_one_coloured_pixel_makes_a_picture_coloured(photo: Image.Image, place: tuple[int, int]) -> None:
    image = photo.convert("L").convert("RGB")
    image.putpixel(place, (100, 103, 100))
    assert not silently(image).grey
    image.putpixel(place, (100, 102, 100))
    assert silently(image).grey


def test_invisible_colours_do_not_count(photo: Image.Image) -> None:
    image = photo.convert("L").convert("RGBA")
    image.paste((255, 0, 0, 0), (10, 10, 60, 60))
    picture = silently(image)
    assert picture.grey
    assert (picture.pixels == picture.pixels[:, :, :1]).all()
    assert there_and_back(image)[1].mode == "LA"
    image.putpixel((20, 20), (255, 0, 0, 1))
    assert not silently(image).grey


def test_sepia_is_colour(photo: Image.Image) -> None:
    grey = np.asarray(photo.convert("L"), np.float64)[..., None]
    image = Image.fromarray((grey * (1, 0.9, 0.7)).astype(np.uint8))
    assert not silently(image).grey


def test_greys_under_a_warm_white_are_grey_once_the_eye_has_adapted(photo: Image.Image) -> None:
    image = photo.convert("L").convert("RGB")
    image.info["icc_profile"] = built((0.44, 0.40, *ADOBE[2:]), 2.2, "warm")
    assert silently(image).grey


@pytest.mark.parametrize("exponent", [None, 1.8, 2.2])
def test_profiles_of_grey_photographs_are_applied(photo: Image.Image, exponent: float | None) -> None:
    image = photo.convert("L").convert("RGB")
    image.info["icc_profile"] = built(ADOBE, exponent, "test")
    picture = silently(image)
    assert picture.grey
    assert picture.metadata.icc is None
    expected = files.to_srgb(np.asarray(image), exponent=exponent)
    assert np.abs(picture.pixels - expected).max() <= 1
    _, back = there_and_back(image, 90)
    assert "icc_profile" not in back.info
    assert abs(np.asarray(back).mean() - expected.mean()) < 3


def test_a_profile_of_srgb_leaves_greys_alone(photo: Image.Image) -> None:
    image = photo.convert("L").convert("RGB")
    image.info["icc_profile"] = rgb_profile()
    assert np.array_equal(silently(image).pixels, np.asarray(image))


def test_a_grey_profile_stays_with_grey_channels(photo: Image.Image) -> None:
    # WebP and AVIF have no other way to store it.
    image = photo.convert("L").convert("RGB")
    image.info["icc_profile"] = grey_profile()
    picture = silently(image)
    assert picture.grey
    assert picture.metadata.icc == grey_profile()
    colour = photo.copy()
    colour.info["icc_profile"] = grey_profile()
    with pytest.warns(LossWarning, match="the ICC profile is not of the picture's kind"):
        assert from_pil(colour).metadata.icc is None


def test_one_channel_with_an_rgb_profile_looks_as_before(photo: Image.Image) -> None:
    image = photo.convert("L")
    image.info["icc_profile"] = built(ADOBE, 1.8, "test")
    with pytest.warns(LossWarning, match="the ICC profile is not of the picture's kind"):
        picture = from_pil(image)
    expected = files.to_srgb(np.dstack([np.asarray(image)] * 3), exponent=1.8)
    assert np.abs(picture.pixels - expected).max() <= 1


def test_one_bit_is_grey() -> None:
    image = Image.new("1", (40, 30))
    image.paste(1, (10, 10, 30, 20))
    _, back = there_and_back(image.convert("RGB"))
    assert back.mode == "L"
    assert np.abs(np.asarray(back).astype(int) - np.asarray(image.convert("L"))).mean() < 20
