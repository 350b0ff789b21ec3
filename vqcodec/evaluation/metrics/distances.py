"""Metrics on pixels: PSNR, MS-SSIM, SSIMULACRA2; and two from other packages, LPIPS and DISTS."""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor

from vqcodec.evaluation.metrics.base import Measure, Shown, TensorMeasure
from vqcodec.extras import MissingExtraError, require

MS_SSIM_SMALLEST_SIDE = 161  # an 11-pixel window after four halvings


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio (N,) in dB over all channels; infinite for equal images.

    Args:
        a: images (N, C, H, W) in -1..1.
        b: images of the same shape and range.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(a, b)
    error = ((a.double() - b.double()) / 2).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).to(a.dtype)


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the multi-scale structural similarity (N,), mean over RGB, at most 1.

    Wang, Simoncelli and Bovik, 2003.

    Args:
        a: images (N, C, H, W) in -1..1, each side at least 161.
        b: images of the same shape and range.

    Raises:
        ValueError: the shapes differ, or a side is shorter than 161.
        MissingExtraError: `pytorch-msssim` is not installed.
    """
    _check_shapes(a, b)
    if min(a.shape[2:]) < MS_SSIM_SMALLEST_SIDE:
        raise ValueError(f"MS-SSIM needs sides of at least {MS_SSIM_SMALLEST_SIDE}, not {tuple(a.shape[2:])}")
    library = require("pytorch_msssim", "pytorch-msssim", "MS-SSIM")
    return library.ms_ssim((a + 1) / 2, (b + 1) / 2, data_range=1.0, size_average=False)


def load_psnr() -> Measure:
    """Load PSNR as a measure."""
    return TensorMeasure(psnr)


def load_ms_ssim() -> Measure:
    """Load MS-SSIM as a measure.

    Raises:
        MissingExtraError: `pytorch-msssim` is not installed.
    """
    require("pytorch_msssim", "pytorch-msssim", "MS-SSIM")
    return TensorMeasure(ms_ssim)


class Ssimulacra2(Measure):
    """SSIMULACRA2: 100 for equal images, 50 for medium quality, below 0 for very bad ones.

    Raises:
        MissingExtraError: `ssimulacra2` is not installed.
    """

    def __init__(self) -> None:
        self._library = require("ssimulacra2", "ssimulacra2", "SSIMULACRA2")

    def compare(self, prepared: Shown, decoded: Shown) -> float:
        return float(self._library.compute_ssimulacra2(_as_file(prepared.image), _as_file(decoded.image)))


def load_lpips() -> Measure:
    """Load LPIPS with AlexNet, from the package `lpips`.

    Raises:
        MissingExtraError: `lpips` is not installed, or its weights cannot be downloaded.
    """
    library = require("lpips", "lpips", "metric lpips-alex", install="lpips torchvision")
    # torchvision downloads the backbone.
    try:
        return TensorMeasure(library.LPIPS(net="alex", verbose=False).eval())
    except OSError as error:
        raise MissingExtraError(f"metric lpips-alex: its weights cannot be downloaded: {error}") from error


def load_dists() -> Measure:
    """Load DISTS, from the package `dists-pytorch`.

    Raises:
        MissingExtraError: `dists-pytorch` is not installed, or its weights cannot be downloaded.
    """
    library = require("DISTS_pytorch", "dists-pytorch", "metric dists", install="dists-pytorch torchvision")
    try:
        model = library.DISTS().eval()
    except OSError as error:
        raise MissingExtraError(f"metric dists: its weights cannot be downloaded: {error}") from error
    return TensorMeasure(lambda a, b: model((a + 1) / 2, (b + 1) / 2))


def _as_file(image: Image.Image) -> io.BytesIO:
    # The library reads only files; an uncompressed one costs next to nothing.
    file = io.BytesIO()
    image.save(file, "PPM")
    file.seek(0)
    return file


def _check_shapes(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(
            f"images to compare are (N, C, H, W) of one shape: {tuple(a.shape)}, {tuple(b.shape)}"
        )
