"""Crops: of the photographs, at several scales, mirrored or not, the same for the same draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqcodec.errors import ImageError
from vqcodec.training.data import CropSampler, reductions, without_colour
from vqcodec.training.plain import finer_steps, on_flat_ground, plain_crop


def gradient(width: int, height: int) -> Image.Image:
    """Red rises to the right, green downwards, blue is the width in tens of pixels."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, width / 10)], 2).round().astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for width, height in ((1800, 1200), (500, 300), (95, 400)):
        gradient(width, height).save(tmp_path / f"{width}.png")
    return tmp_path


def test_crops_are_cut_from_the_photographs_at_their_scales(folder: Path) -> None:
    sampler = CropSampler(sorted(folder.glob("*.png")), plain=0.0, grey=0.0, ground=0.0)
    crops = sampler.batch(np.random.default_rng(0), 300, 64)
    assert crops.shape == (300, 3, 64, 64)
    assert crops.dtype == torch.float32
    pixels = (crops + 1) * 127.5
    # The one with a side of 95 pixels is left out, and the larger one is drawn more often.
    widths = 10 * pixels[:, 2].mean((1, 2)).round()
    assert set(widths.tolist()) == {500.0, 1800.0}
    assert 0.7 < (widths == 1800).float().mean() < 0.99
    # Green rises by 255 over the height: how fast tells the scale.
    heights = 63 * 255 / (pixels[:, 1, -1] - pixels[:, 1, 0]).mean(1)
    for width, height in ((1800, 1200), (500, 300)):
        found = height / heights[widths == width]
        expected = torch.tensor(reductions(width, height))
        nearest = (found[:, None] - expected).abs().min(1)
        assert nearest.values.max() < 0.1
        assert set(nearest.indices.tolist()) == set(range(len(expected)))
    mirrored = (pixels[:, 0, :, -1] < pixels[:, 0, :, 0]).float().mean()
    assert 0.4 < mirrored < 0.6


def test_large_photographs_are_seen_down_to_a_third_of_a_megapixel() -> None:
    factors = reductions(4000, 3000)
    assert factors == sorted(factors)
    assert factors[0] > 1
    assert 0.3 < 12 / factors[-1] ** 2 < 0.7


def test_the_draws_decide(folder: Path) -> None:
    sampler = CropSampler(sorted(folder.glob("*.png")), plain=0.0, grey=0.0, ground=0.0)
    one, same, other = (sampler.batch(np.random.default_rng(seed), 4, 48) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_crops_larger_than_the_photographs_are_refused(folder: Path) -> None:
    sampler = CropSampler([folder / "500.png"], plain=0.0, grey=0.0, ground=0.0)
    assert sampler.largest_crop == 300
    assert sampler.batch(np.random.default_rng(0), 2, 300).shape == (2, 3, 300, 300)
    with pytest.raises(ValueError, match="no photograph has sides of 304 pixels"):
        sampler.batch(np.random.default_rng(0), 2, 304)
    with pytest.raises(ValueError, match="no usable photographs"):
        CropSampler([folder / "95.png"])


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no")
    with pytest.raises(ImageError, match=r"text\.png: not a picture"):
        CropSampler([tmp_path / "text.png"])


def test_some_crops_are_plain():
    rng = np.random.default_rng(0)
    crops = torch.stack([plain_crop(rng, 64) for _ in range(60)]).float()
    # Neighbours differ by rounding and a gentle slope at most.
    assert crops.diff(dim=1).abs().max() <= 5
    assert crops.diff(dim=2).abs().max() <= 5
    flat = (crops == crops[:, :1, :1]).all(-1).flatten(1).all(1)
    assert 0.1 < flat.float().mean() < 0.9
    assert crops.amin() < 10
    assert crops.amax() > 245


def test_the_share_of_plain_crops_is_that_asked_for(folder):
    sampler = CropSampler(sorted(folder.glob("*.png")), plain=0.3, ground=0.0)
    batch = sampler.batch(np.random.default_rng(0), 200, 64)
    # Blue is the width of the photograph, in tens of pixels.
    blue = (batch[:, 2] + 1) * 127.5
    of_photographs = torch.tensor([180.0, 50.0])[:, None, None, None]
    photographs = ((blue - of_photographs).abs() < 0.1).all(3).all(2).any(0)
    assert 0.6 < photographs.float().mean() < 0.8


def test_the_share_of_grey_crops_is_that_asked_for(folder):
    sampler = CropSampler(sorted(folder.glob("*.png")), plain=0.0, grey=0.3, ground=0.0)
    crops = sampler.batch(np.random.default_rng(0), 200, 64)
    grey = (crops.amax(1) - crops.amin(1)).amax((1, 2)) == 0
    assert 0.2 < grey.float().mean() < 0.4
    # They keep their brightness.
    crop = torch.tensor([[[255, 255, 255], [0, 0, 0], [0, 255, 0]]], dtype=torch.uint8)
    assert without_colour(crop)[0, :, 1].tolist() == [255, 0, 150]


def test_some_crops_stand_on_a_flat_ground(folder):
    sampler = CropSampler(sorted(folder.glob("*.png")), plain=0.0, grey=0.0, ground=0.3)
    crops = sampler.batch(np.random.default_rng(0), 300, 64)
    # Corners have one colour, which those of the photographs never have.
    corners = crops[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    grounds = (corners == corners[:, :, :1]).all(1).sum(1) >= 3
    assert 0.2 < grounds.float().mean() < 0.4


def test_a_flat_ground_surrounds_a_part_that_stays_as_it_is():
    rng = np.random.default_rng(0)
    for _ in range(20):
        crop = torch.from_numpy(rng.integers(0, 256, (96, 64, 3), dtype=np.uint8))
        found = on_flat_ground(rng, crop)
        kept = (found == crop).all(2)
        rows, columns = kept.sum(1).max(), kept.sum(0).max()
        assert 12 <= columns <= 75
        assert 8 <= rows <= 50
        colours = found[~kept].unique(dim=0)
        assert len(colours) == 1


def test_plain_pictures_have_a_base_of_fine_steps():
    torch.manual_seed(0)
    noise = torch.rand(1, 3, 128, 128) * 2 - 1
    # Means of squares differ, as those of the noise hardly do.
    texture = (noise + (torch.rand(1, 3, 8, 8) * 2 - 1).repeat_interleave(16, 2).repeat_interleave(16, 3)) / 2
    partly = torch.full_like(texture, 0.3)
    partly[..., 80:, 80:] = texture[..., 80:, 80:]
    ramp = torch.linspace(-1, 1, 128).expand_as(texture)
    pictures = torch.cat([torch.zeros_like(texture), ramp, partly, texture])
    usual, draws = torch.full((4,), 20.0), torch.full((4,), 0.5)
    flat, sloped, some, none = finer_steps(usual, pictures, draws).tolist()
    assert flat == sloped == 1
    assert none == pytest.approx(20 ** (1 - 0.5**3))
    assert 1 < some < 0.8 * none
    assert (finer_steps(usual, pictures, torch.zeros(4))[2:] == 20).all()
    assert (finer_steps(usual, pictures, torch.ones(4)) == 1).all()
