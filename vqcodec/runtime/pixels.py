"""Convert network output to pixels, and pixels to the means that the base holds."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.forks import settle
from vqcodec.model.base import BLOCK, Base, to_ycc


def to_pixels(picture: Tensor) -> Tensor:
    """Round values (h, w, 3) in [-127.5, 127.5] to uint8 pixels (h, w, 3). Values outside are clamped.

    It processes a few rows at a time, so that they stay in the cache.
    """
    out = torch.empty(picture.shape, dtype=torch.uint8, device=picture.device)
    rows = max(1, (1 << 19) // (3 * picture.shape[1]))
    for part, values in zip(out.split(rows), picture.split(rows), strict=True):
        # The copy truncates, so add 127.5 for the range and 0.5 for rounding.
        part.copy_(values.clamp(-127.5, 127.5).float().add_(128))
    return out


@torch.inference_mode()
def block_means(pixels: np.ndarray) -> np.ndarray:
    """Means of 16x16 squares of pixels (H, W, 3) uint8 in YCoCg levels, (3, h, w) float32.

    The picture is continued by its edge to whole squares.
    """
    settle()
    height, width = pixels.shape[:2]
    rows = []
    for top in range(0, height, BLOCK):
        part = torch.from_numpy(pixels[top : top + BLOCK].copy()).permute(2, 0, 1)[None].float()
        part = F.pad(part, (0, -width % BLOCK, 0, BLOCK - part.shape[2]), mode="replicate")
        rows.append(F.avg_pool2d(part, BLOCK))
    return to_ycc(torch.cat(rows, 2))[0].numpy()


@torch.inference_mode()
def base_colours(base: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The colours of a base (3, h, w) with steps (h, w): (h, w, 3) uint8."""
    settle()
    return to_pixels(127.5 * base_tensor(base, steps).picture[0].permute(1, 2, 0)).numpy()


def base_tensor(base: np.ndarray, steps: np.ndarray, device: torch.device | None = None) -> Base:
    """A base (3, h, w) with steps (h, w) as tensors of one picture."""
    planes = torch.from_numpy(base.astype(np.float32)[None])
    return Base(planes.to(device), torch.from_numpy(steps.astype(np.float32)[None]).to(device))
