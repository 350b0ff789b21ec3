"""Plain training crops: flat colours, smooth ramps and flat grounds, which photographs hardly hold without noise."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.config import BLOCK

# Mean bend of the colours of plain pictures, in levels, by which they are told.
_PLAIN = 1.5
# Levels that drawings and interfaces like; other colours are drawn evenly.
_LEVELS = np.array([0, 64, 128, 192, 255])


def plain_crop(rng: np.random.Generator, size: int) -> Tensor:
    """A flat colour, a ramp between two colours, or one between four corners: (size, size, 3) uint8."""
    corners = rng.uniform(0, 255, (2, 2, 3))
    often = rng.random((2, 2, 1)) < 0.5
    corners = np.where(often, rng.choice(_LEVELS, (2, 2, 3)), corners)
    kind = rng.integers(3)
    if kind == 0:
        corners[:] = corners[0, 0]
    elif kind == 1:
        # A slope in any direction.
        corners[1] = corners[0]
        if rng.random() < 0.5:
            corners = corners.swapaxes(0, 1)
    # Gentle slopes are the most common ones.
    corners = corners[0, 0] + (corners - corners[0, 0]) * rng.random() ** 2
    place = np.linspace(0, 1, size)
    rows = corners[0] + (corners[1] - corners[0]) * place[:, None, None]
    pixels = rows[:, :1] + (rows[:, 1:] - rows[:, :1]) * place[None, :, None]
    return torch.from_numpy(pixels.round().astype(np.uint8))


def on_flat_ground(rng: np.random.Generator, crop: Tensor) -> Tensor:
    """A part of a crop (h, w, 3) uint8 on a flat colour, as products are pictured: (h, w, 3) uint8."""
    colour = np.where(rng.random(3) < 0.5, rng.choice(_LEVELS, 3), rng.integers(0, 256, 3)).astype(np.uint8)
    ground = torch.from_numpy(colour).to(crop.device).expand_as(crop).clone()
    place = []
    for side in crop.shape[:2]:
        length = int(rng.integers(side // 8, side * 3 // 4 + 1))
        start = int(rng.integers(side - length + 1))
        place.append(slice(start, start + length))
    rows, columns = place
    ground[rows, columns] = crop[rows, columns]
    return ground


def finer_steps(steps: Tensor, pictures: Tensor, draws: Tensor) -> Tensor:
    """Steps of the base (N,), from the usual ones down to one level, which files take for plain pictures.

    The more of a picture is smooth, the finer a base it can afford.

    Args:
        steps: the usual ones (N,).
        pictures: (N, 3, H, W) RGB in [-1, 1].
        draws: (N,) random numbers, 0..1.
    """
    means = F.avg_pool2d(pictures, BLOCK) * 127.5
    across, down = means.diff(n=2, dim=3).abs().mean(1), means.diff(n=2, dim=2).abs().mean(1)
    smooth = (across[:, 1:-1] + down[:, :, 1:-1] < _PLAIN).float().mean((1, 2)).nan_to_num()
    finer = (steps ** (1 - draws ** (3 * (1 - smooth)))).clamp_min(1)
    return torch.where(across.mean((1, 2)) + down.mean((1, 2)) < _PLAIN, torch.ones_like(steps), finer)
