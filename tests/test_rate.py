"""Quality, bits per pixel and bytes: what a user asks for is what the file has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vqcodec
from vqcodec.codec import default_codec
from vqcodec.entropy.base import quantized
from vqcodec.errors import LossWarning, TargetError
from vqcodec.planes import Planes
from vqcodec.rate import setting_at
from vqcodec.runtime.pixels import block_means
from vqcodec.weights import load_model

DATA = Path(__file__).parent / "data"
PHOTOGRAPHS = ["temple.jpg", "cat.jpg", "coffee.jpg"]


def photograph(name: str) -> Image.Image:
    return Image.open(DATA / name).convert("RGB")


def squared_error(left: Image.Image, right: Image.Image) -> float:
    return float(np.square(np.asarray(left, float) - np.asarray(right, float)).mean())


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_bytes_grow_and_error_falls_with_quality(name):
    image = photograph(name)
    files = [vqcodec.compress(image, quality=quality) for quality in (0, 20, 40, 60, 80, 100)]
    sizes = [len(data) for data in files]
    errors = [squared_error(vqcodec.decompress(data), image) for data in files]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 2
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("bpp", [0.05, 0.12, 0.4])
def test_bits_per_pixel_are_met_from_below(name, bpp):
    image = photograph(name)
    data = vqcodec.compress(image, bpp=bpp)
    assert 0.97 * bpp <= 8 * len(data) / (image.width * image.height) <= bpp


def test_a_size_in_bytes_is_met_from_below():
    data = vqcodec.compress(photograph("temple.jpg"), size=3000)
    assert 2910 <= len(data) <= 3000


def test_a_size_that_nothing_reaches_is_an_error_that_names_the_smallest():
    image = photograph("temple.jpg")
    with pytest.raises(TargetError, match=r"60 bytes cannot be reached: the smallest file takes \d+"):
        vqcodec.compress(image, size=60)


@pytest.mark.parametrize("size", [200, 400, 600])
def test_sizes_below_those_of_the_rate_dial_are_reached(size):
    # So few bytes hold the base and hardly anything else, and grow in leaps.
    data = vqcodec.compress(photograph("temple.jpg"), size=size)
    assert 0.9 * size <= len(data) <= size


def test_more_bytes_than_the_largest_file_takes_give_that_and_a_warning():
    image = photograph("cat.jpg")
    with pytest.warns(LossWarning, match=r"the largest file within 1000000 bytes takes \d+"):
        data = vqcodec.compress(image, size=1000000)
    assert len(data) > len(vqcodec.compress(image, quality=100))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("rate", [20, 128, 250])
def test_codewords_are_chosen_better_than_one_stage_at_a_time(name, rate):
    codec = default_codec()
    setting = setting_at(codec.config, rate / 255)
    pixels = np.asarray(photograph(name))
    base = quantized(block_means(pixels), setting.base_step)
    steps = np.full(base.shape[1:], round(setting.base_step), np.uint8)
    latents = codec.transform.latents(pixels, Planes([], rate, base, steps))
    # What training takes, stage by stage.
    quantizers = load_model().network().quantizers
    for number, (codebooks, quantizer) in enumerate(zip(codec.transform.codebooks, quantizers, strict=True)):
        grid, channels = codec.config.place(number)
        vectors = latents[grid][..., channels].reshape(-1, codebooks.codebooks.shape[2])

        def cost(indices, codebooks=codebooks, vectors=vectors):
            distortion = np.square(vectors - codebooks.dequantize(indices)).sum(1)
            return (distortion + setting.lmbda * codebooks.rate(indices, rate / 255)).mean()

        places = torch.full((len(vectors),), rate / 255)
        lmbdas = torch.full_like(places, setting.lmbda)
        greedy = quantizer.quantize(torch.from_numpy(vectors), lmbdas, places).indices.numpy()
        alone = codebooks.choose(vectors, setting.lmbda, rate / 255, beams=1)
        assert cost(alone) == pytest.approx(cost(greedy), rel=1e-5)
        assert cost(codebooks.choose(vectors, setting.lmbda, rate / 255)) <= cost(greedy)


def test_quality_outside_its_range_is_refused():
    for quality in (-1, 101, float("nan")):
        with pytest.raises(ValueError, match="not between 0 and 100"):
            vqcodec.compress(photograph("cat.jpg"), quality=quality)


def test_index_planes_survive_the_file():
    codec = default_codec()
    image = photograph("coffee.jpg")
    planes = codec.encode(image, quality=60)
    data = codec.pack(planes, image.size)
    assert data == codec.compress(image, quality=60)
    assert codec.unpack(data) == planes
    assert codec.decode(planes, image.size).tobytes() == codec.decompress(data).tobytes()


@pytest.mark.parametrize("fault", ["step", "colour", "ended", "index", "grid"])
def test_planes_that_no_reader_would_take_are_not_packed(fault: str) -> None:
    codec = default_codec()
    planes = codec.encode(photograph("coffee.jpg").crop((0, 0, 96, 96)), quality=60)
    assert planes.layers[0][2, 3]
    size = 96, 96
    if fault == "step":
        planes.steps[2, 3] += 1
    elif fault == "colour":
        planes.base[0, 2, 3] = 1 + round(255 / int(planes.steps[2, 3]))
    elif fault == "ended":
        planes.layers[0][2, 3], planes.layers[1][2, 3] = 0, 1
    elif fault == "index":
        planes.layers[0][2, 3] = codec.config.layers[0].codebook_size
    else:
        size = 97, 96
    with pytest.raises(ValueError, match=r"steps|colours|values|ended|outside|do not fit"):
        codec.pack(planes, size)


FLAT = [(red, green, blue) for red in (0, 64, 255) for green in (0, 64, 255) for blue in (0, 64, 255)]


def worst_of_flat(quality: float) -> int:
    """Largest difference of any channel of 27 flat pictures."""
    worst = 0
    for colour in FLAT:
        image = Image.new("RGB", (96, 80), colour)
        decoded = vqcodec.decompress(vqcodec.compress(image, quality=quality)).convert("RGB")
        worst = max(worst, int(np.abs(np.asarray(decoded, int) - colour).max()))
    return worst


@pytest.mark.parametrize(("quality", "most"), [(0, 4), (25, 4), (50, 2), (100, 2)])
def test_flat_colours_keep_their_levels(quality, most):
    assert worst_of_flat(quality) <= most


def ramp(kind: str) -> np.ndarray:
    """A slope over 256x192 pixels."""
    row, column = np.linspace(0, 1, 192)[:, None, None], np.linspace(0, 1, 256)[None, :, None]
    if kind == "steep":
        start, along, down = (20, 230, 128), (210, -210, 0), (0, 0, 0)
    elif kind == "down":
        start, along, down = (250, 10, 0), (0, 0, 0), (-200, 90, 255)
    elif kind == "dark":
        start, along, down = (4, 4, 6), (10, 6, 3), (6, 8, 5)
    else:
        start, along, down = (70, 120, 200), (80, 60, 40), (60, 40, 10)
    return (np.array(start) + np.array(along) * column + np.array(down) * row).round().astype(np.uint8)


@pytest.mark.parametrize("quality", [0, 50, 100])
@pytest.mark.parametrize("kind", ["steep", "down", "dark", "sky"])
def test_smooth_ramps_stay_smooth(kind, quality):
    data = vqcodec.compress(Image.fromarray(ramp(kind)), quality=quality)
    assert len(data) < 250
    assert np.abs(np.asarray(vqcodec.decompress(data), int) - ramp(kind)).max() <= 3


def test_a_ramp_beside_a_photograph_does_not_make_its_base_dear():
    """Where the base is not all that there is to code, its step is that of the quality."""
    photo = np.asarray(photograph("coffee.jpg").crop((0, 0, 256, 192)))
    both = Image.fromarray(np.concatenate([photo, ramp("steep")]))
    planes = default_codec().encode(both, quality=10)
    assert planes.steps.min() > 4


@pytest.mark.parametrize(
    ("colour", "quality"),
    [
        pytest.param(
            (255, 255, 255),
            30,
            marks=pytest.mark.xfail(reason="white takes 0.0053 bits per pixel", strict=True),
        ),
        ((255, 255, 255), 100),
        ((200, 30, 60), 30),
        ((200, 30, 60), 100),
    ],
)
def test_a_flat_ground_costs_next_to_nothing(colour, quality):
    """A picture of a product: more of the ground adds less than 0.005 bits per pixel."""
    product = photograph("cat.jpg").resize((220, 150))
    bits, pixels = [], []
    for width, height in ((384, 320), (896, 704)):
        picture = Image.new("RGB", (width, height), colour)
        picture.paste(product, (80, 80))
        bits.append(8 * len(vqcodec.compress(picture, quality=quality)))
        pixels.append(width * height)
    assert bits[1] - bits[0] < 0.005 * (pixels[1] - pixels[0])


def test_ten_rounds_leave_a_colour_where_it_was():
    image = Image.new("RGB", (96, 80), (64, 100, 30))
    for _ in range(10):
        image = vqcodec.decompress(vqcodec.compress(image, quality=50))
    assert np.abs(np.asarray(image.convert("RGB"), int) - (64, 100, 30)).max() <= 3


@pytest.mark.xfail(strict=True, reason="these weights saw too little training")
def test_shades_of_grey_stay_grey():
    grey = photograph("cat.jpg").convert("L").convert("RGB")
    # As colours, so that the file has three channels.
    pixels = np.asarray(grey).copy()
    pixels[0, 0] = 0, 0, 40
    decoded = np.asarray(vqcodec.decompress(vqcodec.compress(Image.fromarray(pixels), quality=50)), int)
    spread = decoded.max(2) - decoded.min(2)
    assert (spread <= 2).mean() > 0.99
