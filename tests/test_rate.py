"""Quality, bits per pixel and bytes: what a user asks for is what the file has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vqcodec
from vqcodec.codec import default_codec
from vqcodec.errors import LossWarning, TargetError

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
@pytest.mark.parametrize("bpp", [0.08, 0.12, 0.2])
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
    data = vqcodec.compress(photograph("temple.jpg"), size=size)
    assert 0.97 * size <= len(data) <= size


def test_more_bytes_than_the_largest_file_takes_give_that_and_a_warning():
    image = photograph("cat.jpg")
    with pytest.warns(LossWarning, match=r"the largest file within 1000000 bytes takes \d+"):
        data = vqcodec.compress(image, size=1000000)
    assert len(data) > len(vqcodec.compress(image, quality=100))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("lmbda", [0.0, 0.3, 1.5])
def test_codewords_are_chosen_better_than_one_stage_at_a_time(name, lmbda):
    codec = default_codec()
    quantizer = codec.model.quantizer
    latents = codec.transform.latents(np.asarray(photograph(name))).flatten(0, 1)

    def cost(indices):
        distortion = (latents - quantizer.dequantize(indices)).square().sum(1)
        return float((distortion + lmbda * quantizer.rate(indices)).mean())

    greedy = cost(quantizer.quantize(latents, lmbda=lmbda).indices)
    assert cost(quantizer.choose(latents, lmbda)) < 0.998 * greedy


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
    np.testing.assert_array_equal(codec.unpack(data), planes)
    assert codec.decode(planes, image.size).tobytes() == codec.decompress(data).tobytes()
