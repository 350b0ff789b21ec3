"""Strip by strip gives what the networks give for the picture in one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vqcodec.codec import Codec
from vqcodec.model import VQGAN, ModelConfig
from vqcodec.rate import lmbda_of
from vqcodec.runtime import strips

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load(dtype=torch.float32)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """37 x 25 latent positions, the last of each row and column incomplete."""
    with Image.open(DATA / "coffee.jpg") as image:
        return np.asarray(image)[: 25 * 16 - 5, : 37 * 16 - 9]


@pytest.fixture(scope="module")
@torch.inference_mode()
def latents(codec: Codec, pixels: np.ndarray) -> Tensor:
    """What the encoder itself says, (h, w, D)."""
    padded = np.pad(pixels, [(0, -side % 16) for side in pixels.shape[:2]] + [(0, 0)], "edge")
    picture = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 127.5 - 1
    return codec.model.analyse(picture)[0].permute(1, 2, 0)


# All rows at once, a few, one by one; and bands of columns, whose halo is larger than they are.
LAYOUTS = [(1 << 20, 1 << 13), (200, 1 << 13), (1, 1 << 13), (100, 5)]


@pytest.mark.parametrize(("area", "widest"), LAYOUTS)
def test_latents_are_those_of_the_encoder(
    codec: Codec,
    pixels: np.ndarray,
    latents: Tensor,
    area: int,
    widest: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec.model, "strip_area", area)
    monkeypatch.setattr(strips, "WIDEST", widest)
    assert torch.allclose(codec.transform.latents(pixels), latents, atol=1e-4)


@pytest.mark.parametrize(("area", "widest"), LAYOUTS)
@pytest.mark.parametrize("lmbda", [lmbda_of(0), lmbda_of(100)])
@torch.inference_mode()
def test_pictures_are_those_of_the_generator(
    codec: Codec, latents: Tensor, area: int, widest: int, lmbda: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = codec.transform.quantize(latents, lmbda)
    indices = torch.from_numpy(planes.astype(np.int64)).flatten(1).T
    summed = codec.model.quantizer.dequantize(indices).view_as(latents)
    whole = codec.model.synthesise(summed.permute(2, 0, 1)[None], torch.tensor([len(planes)]))
    expected = whole[0].permute(1, 2, 0).add(1).mul(127.5).round().clamp(0, 255).numpy()
    monkeypatch.setattr(codec.model, "strip_area", area)
    monkeypatch.setattr(strips, "WIDEST", widest)
    assert np.abs(codec.transform.render(planes, realism=0.0) - expected).max() <= 1


def test_in_bfloat16_pictures_differ_by_rounding_only(
    codec: Codec, latents: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = Codec.load(dtype=torch.bfloat16)
    planes = codec.transform.quantize(latents, lmbda_of(60))
    expected = codec.transform.render(planes).astype(int)
    pixels = half.transform.render(planes).astype(int)
    assert 0 < np.abs(pixels - expected).mean() < 0.6
    assert np.abs(pixels - expected).max() <= 4
    monkeypatch.setattr(half.model, "strip_area", 200)
    assert np.abs(half.transform.render(planes) - pixels).max() <= 1
    # The file is the same whatever renders it.
    data = codec.pack(planes, (37 * 16, 25 * 16))
    assert np.array_equal(half.unpack(data), planes)


def test_bfloat16_finds_latents_that_are_nearly_as_good(
    codec: Codec, pixels: np.ndarray, latents: Tensor
) -> None:
    found = Codec.load(dtype=torch.bfloat16).transform.latents(pixels)
    assert 0 < float((found - latents).abs().mean()) < 0.02 * float(latents.abs().mean())


@pytest.mark.parametrize("blocks", [((2, 3, 4), (6, 3, 2)), ((4, 5, 9), (6, 3, 2)), ((1, 1, 1), (7, 6, 7))])
def test_the_halo_of_the_residual_family_covers_its_receptive_fields(
    blocks: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    config = ModelConfig(1, 16, 8, (8, 8, 8), blocks[0], (8, 8, 8), blocks[1])
    torch.manual_seed(0)
    model = VQGAN(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    grid = 3 * model.halo
    stages = torch.ones(1, dtype=torch.int64)
    networks = [(model.analyse, (3, 16), 1), (lambda latents: model.synthesise(latents, stages), (8, 1), 16)]
    for network, (channels, density), step in networks:
        before = torch.rand(1, channels, density * grid, density * grid)
        after = before.clone()
        after[:, :, -density:] = 1
        with torch.no_grad():
            difference = network(before) - network(after)
        reached = difference.abs().amax((0, 1, 3)).nonzero().min()
        assert step * (grid - 1 - model.halo) <= reached < step * (grid - 1)
