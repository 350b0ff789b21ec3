"""Convert network output to pixels."""

from __future__ import annotations

import torch
from torch import Tensor


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
