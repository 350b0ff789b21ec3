"""Losses on the features of the perceptual network: what they forgive, and what they do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from vqcodec.training.perceptual import MARGIN, PerceptualDistance, distance, shifted, texture_distance

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def network() -> PerceptualDistance:
    return PerceptualDistance()


def tensor(picture: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(picture.convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.mark.parametrize("measure", [distance, texture_distance])
def test_a_picture_is_at_no_distance_from_itself_and_at_some_from_another(network, measure):
    with Image.open(DATA / "temple.jpg") as temple, Image.open(DATA / "cat.jpg") as cat:
        one, other = (network.features(tensor(picture.resize((128, 128)))) for picture in (temple, cat))
    assert measure(one, one).item() == pytest.approx(0, abs=1e-5)
    assert measure(one, other).item() > 0.05


def test_texture_may_move_but_not_vanish(network):
    """Point by point a blurred surface is nearer than one that moved; by its statistics it is farther."""
    with Image.open(DATA / "cat.jpg") as photograph:
        fur = photograph.convert("RGB").crop((120, 150, 248, 278))
        moved = photograph.convert("RGB").crop((124, 154, 252, 282))
    blurred = fur.filter(ImageFilter.GaussianBlur(1))
    original, moved, blurred = (network.features(tensor(picture)) for picture in (fur, moved, blurred))
    assert distance(moved, original).item() > distance(blurred, original).item()
    assert texture_distance(moved, original).item() < texture_distance(blurred, original).item()


def test_the_texture_distance_has_a_gradient_everywhere(network):
    """Also at a plain picture, whose features do not deviate at all."""
    plain = torch.zeros(1, 3, 64, 64, requires_grad=True)
    with Image.open(DATA / "temple.jpg") as photograph:
        wanted = network.features(tensor(photograph.crop((0, 0, 64, 64))))
    texture_distance(network.features(plain), wanted).sum().backward()
    assert torch.isfinite(plain.grad).all()
    assert plain.grad.abs().sum() > 0


@pytest.mark.parametrize("shift", [(0, 0), (1, 3), (MARGIN - 1, MARGIN - 1)])
def test_pictures_are_seen_from_another_pixel_on(shift):
    pictures = torch.arange(2 * 3 * 32 * 48.0).view(2, 3, 32, 48)
    view = shifted(pictures, *shift)
    assert view.shape == (2, 3, 32 - MARGIN, 48 - MARGIN)
    assert torch.equal(view[..., 0, 0], pictures[..., shift[0], shift[1]])
    assert torch.equal(view[..., -1, -1], pictures[..., shift[0] - MARGIN - 1, shift[1] - MARGIN - 1])
