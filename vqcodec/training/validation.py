"""Validation on whole photographs: rate and quality at points of the rate dial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqcodec.model import VQGAN
from vqcodec.runtime.device import autocast, channels_last
from vqcodec.training.data import load_rgb
from vqcodec.training.perceptual import PerceptualDistance, distance, shifted, texture_distance

# Odd, so that the perceptual network does not start where the codec does.
_SHIFT = 1, 3


class Validator:
    """Measures a model on fixed centre crops of photographs that training never sees.

    Args:
        paths: validation photographs.
        size: edge in pixels of the measured square, cut from the centre after reducing the photograph so that
            its shorter side is 1.25 times that.
        rates: points of the rate dial to measure at, 0..1.
    """

    def __init__(
        self, paths: Sequence[Path], size: int = 384, rates: Sequence[float] = (0.1, 0.35, 0.6, 0.9)
    ) -> None:
        from pytorch_msssim import ms_ssim

        self.ms_ssim = ms_ssim
        self.pictures = torch.stack([_centre(load_rgb(path), size) for path in paths])
        self.rates = rates
        self.perceptual = channels_last(PerceptualDistance())

    @torch.no_grad()
    def measure(self, model: VQGAN) -> dict[str, str]:
        """Bits per pixel of the latents, PSNR in dB, MS-SSIM, perceptual and texture distance at each rate."""
        model.eval()
        self.perceptual.to(model.latent_rms.device)
        row = {}
        for point in self.rates:
            parts = [self._measure(model, pictures, point) for pictures in self.pictures.split(4)]
            for name in parts[0]:
                row[f"{name}@{point:g}"] = f"{torch.cat([part[name] for part in parts]).mean():.4f}"
        return row

    def _measure(self, model: VQGAN, pictures: Tensor, point: float) -> dict[str, Tensor]:
        """The values of some pictures, (N,) each."""
        device, config, count = model.latent_rms.device, model.config, len(pictures)
        pictures = pictures.to(device, memory_format=torch.channels_last)
        rate = torch.full((count,), point, device=device)
        base = model.base(pictures, torch.full_like(rate, config.base_step(point)))
        with autocast(device):
            latents = model.analyse(pictures, base, rate)
        chosen, bits = [], torch.zeros(count, device=device)
        for quantizer, part in zip(model.quantizers, model.by_band(latents), strict=True):
            _, dim, rows, columns = part.shape
            flat = part.permute(0, 2, 3, 1).reshape(-1, dim)
            lmbda = torch.full((len(flat),), config.lmbda(point), device=device)
            quantized = quantizer.quantize(flat, lmbda, rate.repeat_interleave(rows * columns))
            chosen.append(quantized.partial[-1].view(count, rows, columns, dim).permute(0, 3, 1, 2))
            bits += quantized.bits.view(count, -1).sum(1)
        with autocast(device):
            decoded = model.synthesise(model.by_grid(chosen), base, rate).clamp(-1, 1)
        wanted = self.perceptual.features(shifted(pictures, *_SHIFT))
        features = self.perceptual.features(shifted(decoded, *_SHIFT))
        return {
            "bpp": bits / (pictures.shape[2] * pictures.shape[3]),
            "psnr": -10 * ((decoded - pictures) / 2).square().mean((1, 2, 3)).log10(),
            "msssim": self.ms_ssim((pictures + 1) / 2, (decoded + 1) / 2, data_range=1.0, size_average=False),
            "perceptual": distance(features, wanted),
            "texture": texture_distance(features, wanted),
        }


def _centre(image: Image.Image, size: int) -> Tensor:
    scale = max(1.0, min(image.size) / (1.25 * size))
    image = image.resize((round(image.width / scale), round(image.height / scale)), Image.Resampling.LANCZOS)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1
