"""Edges of cutouts keep their colours, and alpha costs nothing where it says nothing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitstream import read as read_file
from vqcodec.codec import default_codec
from vqcodec.image.picture import Picture, from_pil, read
from vqcodec.image.save import write_image
from vqcodec.image.transparent import fill

FAULTS = Path(__file__).parents[1] / "data" / "faults"
DATA = Path(__file__).parents[1] / "data"


def there_and_back(picture: Picture | Image.Image, quality: float = 50) -> tuple[bytes, Image.Image]:
    codec = default_codec()
    data = codec.compress(picture, quality)
    return data, codec.decompress(data)


def cutout(hidden: int | None, soft: int = 1, mode: str = "RGBA") -> Image.Image:
    """A part of a photograph, in an ellipse. `hidden` is the value of invisible pixels, `None` the photograph."""
    with Image.open(DATA / "cat.jpg") as image:
        pixels = np.array(image.convert("RGB"))
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((y - 0.45 * height) / (0.35 * height), (x - 0.4 * width) / (0.25 * width))
    alpha = np.clip((1 - distance) * 255 * 40 / soft, 0, 255).astype(np.uint8)
    if hidden is not None:
        pixels[alpha == 0] = hidden
    return Image.fromarray(np.dstack([pixels, alpha])).convert(mode)


def errors(original: Image.Image, back: Image.Image) -> np.ndarray:
    """Differences of the visible pixels, the largest of the three channels."""
    before = np.asarray(original.convert("RGBA")).astype(int)
    after = np.asarray(back.convert("RGBA")).astype(int)
    assert np.array_equal(before[..., 3], after[..., 3])
    return np.abs(before - after)[..., :3].max(2)[before[..., 3] > 0]


# --- edges ----------------------------------------------------------------------------------------------


def test_cutout_has_no_fringe_and_costs_less() -> None:
    path = FAULTS / "cutout.png"
    data, back = there_and_back(read(path))
    with Image.open(path) as image:
        wrong = errors(image, back)
    assert wrong.max() < 20
    assert len(data) < 3100


@pytest.mark.parametrize("soft", [1, 4, 20])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_lies_under_invisible_pixels_does_not_matter(mode: str, soft: int) -> None:
    files = {hidden: there_and_back(cutout(hidden, soft, mode)) for hidden in (0, 77, 255)}
    assert len({data for data, _ in files.values()}) == 1
    with_photograph, _ = there_and_back(cutout(None, soft, mode))
    assert files[0][0] == with_photograph


def test_the_edge_is_as_good_as_with_the_photograph_around_it() -> None:
    image = cutout(0)
    _, back = there_and_back(image)
    full = cutout(None).convert("RGB")
    _, whole = there_and_back(full)
    whole.putalpha(image.getchannel("A"))
    assert errors(image, back).mean() < 1.05 * errors(image, whole).mean()


def test_far_from_the_edge_it_is_plain_and_cheap() -> None:
    small = cutout(0)
    large = Image.new("RGBA", (small.width + 1024, small.height + 1024))
    large.paste(small, (512, 512))
    codec = default_codec()
    sizes = [len(codec.compress(Picture(p.pixels), 50)) for p in (from_pil(small), from_pil(large))]
    # Fourteen times the pixels.
    assert sizes[1] < 2 * sizes[0]
    corner = from_pil(large).pixels[:256, :256]
    assert corner.min() == corner.max()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (5, 3), (17, 33), (64, 1), (31, 64)])
def test_one_visible_pixel_colours_those_around_it(size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    alpha = np.zeros((height, width), np.uint8)
    alpha[height // 2, width // 3] = 1
    colour = pixels[height // 2, width // 3].copy()
    fill(pixels, alpha)
    around = pixels[max(height // 2 - 4, 0) : height // 2 + 5, max(width // 3 - 4, 0) : width // 3 + 5]
    assert np.abs(around.astype(int) - colour).max() <= 3


def test_fills_lie_between_the_colours_around_them() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :5], pixels[:, -5:] = (200, 0, 100), (0, 100, 50)
    alpha = np.zeros((40, 60), np.uint8)
    alpha[:, :5] = alpha[:, -5:] = 255
    before = pixels.copy()
    fill(pixels, alpha)
    assert np.array_equal(pixels[alpha > 0], before[alpha > 0])
    row = pixels[20].astype(int)
    assert (np.diff(row[:, 0]) <= 1).all()
    assert row[6, 0] > 150 > 50 > row[-7, 0]
    assert np.abs(np.diff(row[:, 0])).max() < 40


def test_faint_pixels_count_for_little() -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 200
    alpha = np.zeros((32, 32), np.uint8)
    alpha[:8], alpha[8] = 255, 1  # row 8 is all but invisible
    pixels[8] = 0
    fill(pixels, alpha)
    assert (pixels[8] == 0).all()
    assert pixels[9:].min() > 100


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.asarray(cutout(0))
    whole = image[:, :, :3].copy()
    fill(whole, image[:, :, 3])
    monkeypatch.setattr("vqcodec.image.transparent._STRIP", 2000)
    parts = image[:, :, :3].copy()
    fill(parts, image[:, :, 3])
    assert np.array_equal(whole, parts)


# --- kinds of transparency ------------------------------------------------------------------------------


def test_a_palette_with_transparency_keeps_its_edge() -> None:
    image = cutout(0, 1)
    opaque = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    hidden = np.asarray(image)[..., 3] < 128
    indices = np.where(hidden, 64, np.asarray(opaque)).astype(np.uint8)
    palette = Image.fromarray(indices, "P")
    palette.putpalette([*opaque.getpalette()[: 64 * 3], 255, 0, 255])
    for transparency in (64, bytes([255] * 64 + [0])):
        file = io.BytesIO()
        palette.save(file, "PNG", transparency=transparency)
        picture = from_pil(Image.open(file))
        assert np.array_equal(picture.alpha == 0, hidden)
        # Nothing of the magenta under the invisible pixels.
        red, green, blue = (picture.pixels[..., channel].astype(int) for channel in range(3))
        assert (np.minimum(red, blue) - green)[hidden].max() < 60


def test_a_transparent_colour_of_rgb_is_filled() -> None:
    pixels = np.full((32, 32, 3), (10, 200, 30), np.uint8)
    pixels[8:] = (255, 0, 255)
    image = Image.fromarray(pixels)
    image.info["transparency"] = (255, 0, 255)
    picture = from_pil(image)
    assert (picture.alpha[8:] == 0).all()
    assert (picture.pixels == (10, 200, 30)).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa"])
def test_alpha_that_is_opaque_everywhere_costs_nothing(photo: Image.Image, mode: str) -> None:
    before = photo.convert({"PA": "P", "LA": "L"}.get(mode, "RGB"))
    image = before.convert("RGBA").convert(mode) if mode == "RGBa" else before.convert(mode)
    data, back = there_and_back(image)
    assert not read_file(data).has_alpha
    assert back.mode == ("L" if mode == "LA" else "RGB")
    assert data == there_and_back(before)[0]


def test_one_pixel_that_is_not_opaque_keeps_the_plane(photo: Image.Image) -> None:
    image = photo.convert("RGBA")
    image.putpixel((7, 9), (1, 2, 3, 254))
    _, back = there_and_back(image)
    assert back.mode == "RGBA"
    assert back.getpixel((7, 9))[3] == 254


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_picture_that_is_nowhere_visible_stays_so(photo: Image.Image, mode: str) -> None:
    image = photo.convert(mode)
    image.putalpha(0)
    data, back = there_and_back(image)
    assert back.mode == mode
    assert back.getchannel("A").getextrema() == (0, 0)
    assert len(data) < 150


def test_formats_without_alpha_take_what_was_opaque(photo: Image.Image) -> None:
    _, back = there_and_back(photo.convert("RGBA"))
    file = io.BytesIO()
    write_image(back, file, "JPEG")
    assert Image.open(file).mode == "RGB"
