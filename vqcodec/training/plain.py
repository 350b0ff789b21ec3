"""Plain training crops: flat colours and smooth ramps, which photographs hardly hold without noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

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
