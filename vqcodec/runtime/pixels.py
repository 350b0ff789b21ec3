"""Network output to pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def to_pixels(picture: Tensor) -> Tensor:
    """Values (h, w, 3) from -127.5 to 127.5 to uint8, a few rows at a time so that they stay in the cache."""
    out = torch.empty(picture.shape, dtype=torch.uint8, device=picture.device)
    rows = max(1, (1 << 19) // (3 * picture.shape[1]))
    for part, values in zip(out.split(rows), picture.split(rows), strict=True):
        # The copy truncates: 127.5 for the range, and a half to round to the nearest.
        part.copy_(values.clamp(-127.5, 127.5).float().add_(128))
    return out
