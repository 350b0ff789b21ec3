"""Smooth continuation of known values into a hole."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def nearest(codebook: Tensor, plane: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Indices (n,) of the codewords that lie nearest to a smooth continuation of the known ones, in a hole.

    Args:
        codebook: (K, D).
        plane: (h, w) integers.
        hole: (h, w) bool, true at the n positions that are unknown.
    """
    codebook, known = codebook.cpu(), torch.from_numpy(~hole)
    latents = codebook[torch.from_numpy(plane.astype(np.int64))]
    missing = continued(latents, known)[~known]
    return torch.cdist(missing, codebook).argmin(1).numpy()


def continued(values: Tensor, known: Tensor) -> Tensor:
    """Continue values (h, w, D) smoothly from where `known` (h, w) is true to everywhere.

    The method averages over ever larger squares and interpolates back (pull-push, Gortler et al., SIGGRAPH
    1996). On the way back, each resolution is smoothed.
    """
    if known.all():
        return values
    rows, columns = known.shape
    border = (0, columns % 2, 0, rows % 2)
    weights = F.pad(known.float()[None, None], border)
    maps = F.pad((values * known[..., None]).permute(2, 0, 1)[None], border)
    share = F.avg_pool2d(weights, 2)
    coarse = (F.avg_pool2d(maps, 2) / share.clamp_min(1e-9))[0].permute(1, 2, 0)
    coarse = continued(coarse, share[0, 0] > 0)
    fine = F.interpolate(coarse.permute(2, 0, 1)[None], scale_factor=2.0, mode="bilinear")
    filled = fine[0, :, :rows, :columns].permute(1, 2, 0)
    for _ in range(4):
        filled = _average(torch.where(known[..., None], values, filled))
    return torch.where(known[..., None], values, filled)


def _average(values: Tensor) -> Tensor:
    """Return the mean over the 3x3 neighbourhood of maps (h, w, D)."""
    padded = F.pad(values.permute(2, 0, 1)[None], (1, 1, 1, 1), mode="replicate")
    return F.avg_pool2d(padded, 3, stride=1)[0].permute(1, 2, 0)
