"""Pixel metrics against values that can be computed by hand, and MS-SSIM against its definition."""

import math

import pytest
import torch

pytest.importorskip("pytorch_msssim")

from vqcodec.evaluation.metrics.distances import ms_ssim, psnr


def test_psnr_of_one_grey_level_is_48_13_db() -> None:
    a = torch.zeros(2, 3, 8, 8)
    b = a.clone()
    b[1] += 2 / 255
    assert psnr(a, b)[0] == math.inf
    assert psnr(a, b)[1].item() == pytest.approx(20 * math.log10(255), abs=1e-3)


def test_ms_ssim_of_a_constant_shift_follows_from_its_luminance_term() -> None:
    # Flat images: contrast and structure are 1, and only the luminance of the coarsest scale counts.
    a, b = torch.full((1, 3, 176, 192), -0.2), torch.full((1, 3, 176, 192), 0.4)
    x, y, c1 = 0.4, 0.7, 0.01**2
    expected = ((2 * x * y + c1) / (x * x + y * y + c1)) ** 0.1333
    assert ms_ssim(a, b).item() == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_of_each_image_of_a_batch() -> None:
    generator = torch.Generator().manual_seed(1)
    a = torch.rand(1, 3, 176, 192, generator=generator) * 2 - 1
    noise = torch.randn(a.shape, generator=generator)
    values = ms_ssim(a.expand(3, -1, -1, -1), torch.cat([a, a + 0.1 * noise, a + noise]).clamp(-1, 1))
    assert values[0].item() == pytest.approx(1, abs=1e-6)
    assert values[0] > values[1] > values[2] > 0


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="one shape"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
    with pytest.raises(ValueError, match="at least 161"):
        ms_ssim(torch.zeros(1, 3, 160, 200), torch.zeros(1, 3, 160, 200))
