"""Validation on whole photographs: quality per number of stages, codebook usage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqcodec.model import VQGAN
from vqcodec.runtime.device import channels_last
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
        stages: numbers of stages to measure.
    """

    def __init__(self, paths: Sequence[Path], size: int = 384, stages: Sequence[int] = (1, 2, 4, 8)) -> None:
        from pytorch_msssim import ms_ssim

        self.ms_ssim = ms_ssim
        self.pictures = torch.stack([_centre(load_rgb(path), size) for path in paths])
        self.stages = stages
        self.perceptual = channels_last(PerceptualDistance())

    @torch.no_grad()
    def measure(self, model: VQGAN) -> dict[str, str]:
        """PSNR in dB, MS-SSIM, perceptual and texture distance per number of stages; share of codewords used."""
        model.eval()
        device = model.latent_rms.device
        self.perceptual.to(device)
        indices = []
        sums: dict[str, list[Tensor]] = {}
        for pictures in self.pictures.split(4):
            pictures = pictures.to(device, memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16):
                latents = model.analyse(pictures)
            n, dim, height, width = latents.shape
            quantized = model.quantizer.quantize(latents.permute(0, 2, 3, 1).reshape(-1, dim))
            indices.append(quantized.indices)
            wanted = self.perceptual.features(shifted(pictures, *_SHIFT))
            for count in self.stages:
                partial = quantized.partial[count - 1].view(n, height, width, dim).permute(0, 3, 1, 2)
                with torch.autocast(device.type, torch.bfloat16):
                    decoded = model.synthesise(partial, torch.full((n,), count, device=device))
                decoded = decoded.float().clamp(-1, 1)
                psnr = -10 * ((decoded - pictures) / 2).square().mean((1, 2, 3)).log10()
                similarity = self.ms_ssim(
                    (pictures + 1) / 2, (decoded + 1) / 2, data_range=1.0, size_average=False
                )
                features = self.perceptual.features(shifted(decoded, *_SHIFT))
                measured = {
                    "psnr": psnr,
                    "msssim": similarity,
                    "perceptual": distance(features, wanted),
                    "texture": texture_distance(features, wanted),
                }
                for name, value in measured.items():
                    sums.setdefault(f"{name}{count}", []).append(value)
        row = {name: f"{torch.cat(values).mean():.4f}" for name, values in sums.items()}
        used = torch.stack(
            [torch.bincount(i, minlength=model.config.codebook_size) > 0 for i in torch.cat(indices).T]
        )
        return row | {f"used{stage}": f"{share:.3f}" for stage, share in enumerate(used.float().mean(1))}


def _centre(image: Image.Image, size: int) -> Tensor:
    scale = max(1.0, min(image.size) / (1.25 * size))
    image = image.resize((round(image.width / scale), round(image.height / scale)), Image.Resampling.LANCZOS)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1
