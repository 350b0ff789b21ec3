"""Distances between an original and a decoded image, each named with the network it looks through."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqcodec.errors import RequestError
from vqcodec.evaluation.extras import MissingExtraError, require
from vqcodec.evaluation.stlpips import SMALLEST_SIDE, STLPIPS
from vqcodec.processor import native_bfloat16

MS_SSIM_SMALLEST_SIDE = 161  # an 11-pixel window after four halvings


@dataclass(frozen=True)
class Metric:
    """One column of every table.

    Attributes:
        name: column name and command line name.
        label: what tables and axes show, with the backbone.
        higher_is_better: direction.
        smallest_side: images with a shorter side have no value.
    """

    name: str
    label: str
    higher_is_better: bool
    smallest_side: int = 1


PSNR = Metric("psnr", "PSNR, RGB (dB)", True)
MS_SSIM = Metric("ms-ssim", "MS-SSIM, RGB", True, MS_SSIM_SMALLEST_SIDE)
SSIMULACRA2 = Metric("ssimulacra2", "SSIMULACRA2", True, 8)
ST_LPIPS_ALEX = Metric("st-lpips-alex", "ST-LPIPS (AlexNet)", False, SMALLEST_SIDE)
ST_LPIPS_VGG = Metric("st-lpips-vgg", "ST-LPIPS (VGG16)", False, SMALLEST_SIDE)
LPIPS_ALEX = Metric("lpips-alex", "LPIPS (AlexNet)", False, 64)
DISTS = Metric("dists", "DISTS (VGG16)", False, 32)
KID = Metric("kid", "KID of 64x64 patches (AlexNet of ST-LPIPS)", False)

METRICS = {
    metric.name: metric
    for metric in (PSNR, MS_SSIM, SSIMULACRA2, ST_LPIPS_ALEX, ST_LPIPS_VGG, LPIPS_ALEX, DISTS, KID)
}
DEFAULT_METRICS = ("psnr", "ms-ssim", "ssimulacra2", "st-lpips-alex", "st-lpips-vgg", "kid")


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


def ssimulacra2(a: Image.Image, b: Image.Image) -> float:
    """SSIMULACRA2 score of the decoded image b against a: 100 is equal, 50 medium quality, below 0 very bad.

    Raises:
        MissingExtraError: `ssimulacra2` is not installed.
    """
    library = require("ssimulacra2", "ssimulacra2", "SSIMULACRA2")
    return float(library.compute_ssimulacra2(_as_file(a), _as_file(b)))


def _as_file(image: Image.Image) -> io.BytesIO:
    # The library reads files only; an uncompressed one costs next to nothing.
    file = io.BytesIO()
    image.save(file, "PPM")
    file.seek(0)
    return file


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB image as (1, 3, H, W) float32 in -1..1."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def _check_shapes(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(
            f"images to compare are (N, C, H, W) of one shape: {tuple(a.shape)}, {tuple(b.shape)}"
        )


@dataclass
class Reference:
    """An original with everything that its comparisons share.

    Attributes:
        image: RGB.
        tensor: (1, 3, H, W) in -1..1.
        features: network activations by metric name.
    """

    image: Image.Image
    tensor: Tensor
    features: dict[str, list[Tensor]]


class Scorer:
    """Computes the chosen per-image metrics; loads every network once.

    Where the CPU has bfloat16 the ST-LPIPS trunks use it: half the time, distances within 0.5 % of float32.

    Args:
        names: metric names from `METRICS`; `kid`, a property of a set of images, is left to `realism`.

    Raises:
        RequestError: a name is not known.
        MissingExtraError: a package that a metric needs is not installed.
    """

    def __init__(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in METRICS]
        if unknown:
            raise RequestError(f"no metric {unknown[0]!r}, only {', '.join(METRICS)}")
        self.metrics = [METRICS[name] for name in METRICS if name in names and name != KID.name]
        self._bfloat16 = native_bfloat16()
        self._trunks: dict[str, STLPIPS] = {}
        self._functions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"psnr": psnr, "ms-ssim": ms_ssim}
        for metric in self.metrics:
            if metric is ST_LPIPS_ALEX or metric is ST_LPIPS_VGG:
                net = "alex" if metric is ST_LPIPS_ALEX else "vgg"
                self._trunks[metric.name] = STLPIPS(net).to(memory_format=torch.channels_last)
            elif metric is LPIPS_ALEX:
                self._functions[metric.name] = _lpips()
            elif metric is DISTS:
                self._functions[metric.name] = _dists()
            elif metric is MS_SSIM:
                require("pytorch_msssim", "pytorch-msssim", "MS-SSIM")
            elif metric is SSIMULACRA2:
                require("ssimulacra2", "ssimulacra2", "SSIMULACRA2")

    def _features(self, name: str, tensor: Tensor) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            features = self._trunks[name].features(tensor.to(memory_format=torch.channels_last))
        return [feature.float() for feature in features]

    @torch.inference_mode()
    def reference(self, image: Image.Image) -> Reference:
        """Prepare an original for any number of comparisons."""
        tensor = to_tensor(image)
        features = {
            name: self._features(name, tensor)
            for name in self._trunks
            if min(image.size) >= METRICS[name].smallest_side
        }
        return Reference(image.convert("RGB"), tensor, features)

    @torch.inference_mode()
    def score(self, reference: Reference, decoded: Image.Image) -> dict[str, float]:
        """Metric values by name; a metric that needs a larger image is left out.

        Raises:
            ValueError: the decoded image is not of the original's size.
        """
        if decoded.size != reference.image.size:
            raise ValueError(f"decoded image is {decoded.size}, the original {reference.image.size}")
        tensor = to_tensor(decoded)
        values = {}
        for metric in self.metrics:
            if min(decoded.size) < metric.smallest_side:
                continue
            if metric is SSIMULACRA2:
                values[metric.name] = ssimulacra2(reference.image, decoded.convert("RGB"))
            elif metric.name in self._trunks:
                features = self._features(metric.name, tensor)
                distance = self._trunks[metric.name].distance(reference.features[metric.name], features)
                values[metric.name] = float(distance)
            else:
                values[metric.name] = float(self._functions[metric.name](reference.tensor, tensor))
        return values


def _lpips() -> Callable[[Tensor, Tensor], Tensor]:
    library = require("lpips", "lpips", "metric lpips-alex", install="lpips torchvision")
    return _with_weights(LPIPS_ALEX, lambda: library.LPIPS(net="alex", verbose=False))


def _dists() -> Callable[[Tensor, Tensor], Tensor]:
    library = require("DISTS_pytorch", "dists-pytorch", "metric dists", install="dists-pytorch torchvision")
    model = _with_weights(DISTS, library.DISTS)
    return lambda a, b: model((a + 1) / 2, (b + 1) / 2)


def _with_weights(metric: Metric, make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    # Both packages let torchvision download the backbone.
    try:
        return make().eval()
    except OSError as error:
        raise MissingExtraError(f"metric {metric.name}: its weights cannot be downloaded: {error}") from error
