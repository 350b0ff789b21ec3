"""Strip by strip gives what the networks give for the picture in one piece."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vqcodec.codec import Codec
from vqcodec.config import Band, ModelConfig
from vqcodec.model import VQGAN
from vqcodec.model.base import Base
from vqcodec.planes import Planes
from vqcodec.rate import setting_at
from vqcodec.runtime import strips
from vqcodec.runtime.strips import base_tensor

DATA = Path(__file__).parents[1] / "data"
RATES = (10, 230)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load(dtype=torch.float32)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """37 x 25 positions, the last of each row and column incomplete."""
    with Image.open(DATA / "coffee.jpg") as image:
        return np.asarray(image)[: 25 * 16 - 5, : 37 * 16 - 9]


def encoded(codec: Codec, pixels: np.ndarray, rate: int) -> Planes:
    planes = codec.encode(Image.fromarray(pixels), 50)
    return replace(planes, rate=rate, layers=[])


def whole_base(planes: Planes) -> tuple[Base, Tensor]:
    return base_tensor(planes), torch.full((1,), planes.rate / 255)


@torch.inference_mode()
def analysed(codec: Codec, pixels: np.ndarray, planes: Planes) -> dict[int, Tensor]:
    """What the encoder itself says, by downsampling: (h, w, D)."""
    padded = np.pad(pixels, [(0, -side % 16) for side in pixels.shape[:2]] + [(0, 0)], "edge")
    picture = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 127.5 - 1
    latents = codec.transform.networks.model.analyse(picture, *whole_base(planes))
    return {grid: latent[0].permute(1, 2, 0) for grid, latent in latents.items()}


# All rows at once, a few, one by one; and bands of columns, whose halo is larger than they are.
LAYOUTS = [(1 << 20, 1 << 13), (200, 1 << 13), (1, 1 << 13), (100, 5)]


@pytest.mark.parametrize(("area", "widest"), LAYOUTS)
@pytest.mark.parametrize("rate", RATES)
def test_latents_are_those_of_the_encoder(codec, pixels, rate, area, widest, monkeypatch) -> None:
    planes = encoded(codec, pixels, rate)
    monkeypatch.setattr(codec.transform.networks.model, "strip_area", area)
    monkeypatch.setattr(strips, "WIDEST", widest)
    found = codec.transform.latents(pixels, planes)
    wanted = analysed(codec, pixels, planes)
    assert set(found) == set(wanted) == {16, 8}
    for grid in wanted:
        assert np.allclose(found[grid], wanted[grid], atol=1e-4)


@pytest.mark.parametrize(("area", "widest"), LAYOUTS)
@pytest.mark.parametrize("rate", RATES)
@torch.inference_mode()
def test_pictures_are_those_of_the_generator(codec, pixels, rate, area, widest, monkeypatch) -> None:
    planes = encoded(codec, pixels, rate)
    lmbda = setting_at(codec.config, rate / 255).lmbda
    planes = codec.transform.quantize(codec.transform.latents(pixels, planes), planes, lmbda)
    summed = codec.transform.dequantize(planes)
    latents = {grid: torch.from_numpy(latent).permute(2, 0, 1)[None] for grid, latent in summed.items()}
    whole = codec.transform.networks.model.synthesise(latents, *whole_base(planes))
    expected = whole[0].permute(1, 2, 0).add(1).mul(127.5).round().clamp(0, 255).numpy()
    monkeypatch.setattr(codec.transform.networks.model, "strip_area", area)
    monkeypatch.setattr(strips, "WIDEST", widest)
    assert np.abs(codec.transform.render(planes, realism=0.0) - expected).max() <= 1


def test_in_bfloat16_pictures_differ_by_rounding_only(codec, pixels, monkeypatch) -> None:
    half = Codec.load(dtype=torch.bfloat16)
    planes = codec.encode(Image.fromarray(pixels), 60)
    expected = codec.transform.render(planes).astype(int)
    rendered = half.transform.render(planes).astype(int)
    assert 0 < np.abs(rendered - expected).mean() < 0.6
    assert np.abs(rendered - expected).max() <= 6
    monkeypatch.setattr(half.transform.networks.model, "strip_area", 200)
    assert np.abs(half.transform.render(planes) - rendered).max() <= 1
    # The file is the same whatever renders it.
    data = codec.pack(planes, (37 * 16, 25 * 16))
    assert half.unpack(data) == planes


def test_bfloat16_finds_latents_that_are_nearly_as_good(codec, pixels) -> None:
    planes = encoded(codec, pixels, 128)
    wanted = codec.transform.latents(pixels, planes)
    found = Codec.load(dtype=torch.bfloat16).transform.latents(pixels, planes)
    for grid, latent in wanted.items():
        assert 0 < np.abs(found[grid] - latent).mean() < 0.03 * np.abs(latent).mean()


def test_layers_that_are_not_there_lower_the_rate_that_the_generator_is_told(codec, pixels) -> None:
    planes = codec.encode(Image.fromarray(pixels), 100)
    told = [
        codec.transform.fitting_rate(replace(planes, layers=planes.layers[:count]))
        for count in range(len(planes.layers) + 1)
    ]
    assert told == sorted(told)
    assert told[-1] == planes.rate
    assert told[0] < planes.rate / 2
    low = codec.encode(Image.fromarray(pixels), 0)
    assert codec.transform.fitting_rate(low) == low.rate


@pytest.mark.parametrize("blocks", [((2, 3, 4), (6, 3, 2)), ((4, 5, 9), (6, 3, 2)), ((1, 1, 1), (7, 6, 7))])
def test_the_halo_covers_the_receptive_fields(blocks) -> None:
    config = ModelConfig((Band(16, 8, 1, 16), Band(8, 4, 1, 16)), (8, 8, 8), blocks[0], (8, 8, 8), blocks[1])
    torch.manual_seed(0)
    model = VQGAN(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    grid = 3 * model.config.halo
    rate = torch.full((1,), 0.5)

    def analyse(row: Tensor) -> list[Tensor]:
        picture = torch.rand(1, 3, 16 * grid, 16, generator=torch.Generator().manual_seed(1))
        picture[:, :, -16:] = row
        base = model.base(picture, torch.ones(1))
        return list(model.analyse(picture, base, rate).values())

    def synthesise(row: Tensor) -> list[Tensor]:
        random = torch.Generator().manual_seed(1)
        latents = {
            16: torch.rand(1, 8, grid, 1, generator=random),
            8: torch.rand(1, 4, 2 * grid, 2, generator=random),
        }
        planes = torch.rand(1, 3, grid, 1, generator=random).mul(100).round()
        latents[16][:, :, -1:], latents[8][:, :, -2:], planes[:, :, -1:] = row, row, 100 * row.round()
        return [model.synthesise(latents, Base(planes, torch.ones(1)), rate)]

    for network in (analyse, synthesise):
        with torch.no_grad():
            pairs = zip(network(torch.tensor(0.0)), network(torch.tensor(1.0)), strict=True)
        for before, after in pairs:
            reached = (before - after).abs().amax((0, 1, 3)).nonzero().min()
            step = before.shape[2] / grid
            assert step * (grid - 1 - model.config.halo) <= reached < step * (grid - 1)
