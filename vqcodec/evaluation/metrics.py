"""Distances between images."""

import torch
from torch import Tensor

from vqcodec.evaluation.extras import require

MS_SSIM_SMALLEST_SIDE = 161  # an 11-pixel window after four halvings


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (N,) in dB over all channels; infinite for equal images.

    Args:
        a: images (N, C, H, W) in -1..1.
        b: images of the same shape and range.
    """
    _check_shapes(a, b)
    error = ((a.double() - b.double()) / 2).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).to(a.dtype)


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale structural similarity (N,), mean over RGB, at most 1 (Wang, Simoncelli and Bovik, 2003).

    Args:
        a: images (N, C, H, W) in -1..1, each side at least 161.
        b: images of the same shape and range.

    Raises:
        MissingExtraError: `pytorch-msssim` is not installed.
    """
    _check_shapes(a, b)
    if min(a.shape[2:]) < MS_SSIM_SMALLEST_SIDE:
        raise ValueError(f"MS-SSIM needs sides of at least {MS_SSIM_SMALLEST_SIDE}, not {tuple(a.shape[2:])}")
    library = require("pytorch_msssim", "pytorch-msssim", "MS-SSIM")
    return library.ms_ssim((a + 1) / 2, (b + 1) / 2, data_range=1.0, size_average=False)


def _check_shapes(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(
            f"images to compare are (N, C, H, W) of one shape, not {tuple(a.shape)} and {tuple(b.shape)}"
        )
