"""Smooth continuation of known latents into a hole."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Surroundings:
    """Continuation of the known positions of a rectangle, beyond the reach of the context model.

    Args:
        codebooks: (S, K, D).
        planes: (s, h, w) int64.
        mask: bool, same shape; true where indices are unknown.
    """

    def __init__(self, codebooks: Tensor, planes: np.ndarray, mask: np.ndarray) -> None:
        self._codebooks = codebooks.cpu()
        self._planes, self._mask = planes, mask
        known = torch.from_numpy(~mask[-1])
        latents = torch.zeros(*known.shape, self._codebooks.shape[2])
        for stage, plane in enumerate(planes):
            latents[known] += self._codebooks[stage][torch.from_numpy(plane)[known]]
        self._smooth = spread(latents, known)
        # Mean squared distance of latents from their local average.
        off = (latents - _average(self._smooth))[known]
        self._usual = off.square().sum(1).mean().clamp_min(1e-6)

    def continue_stage(self, stage: int) -> None:
        """Fill unknown positions of a stage with the codewords that best continue the surroundings.

        The earlier stages must be filled already.
        """
        hole = torch.from_numpy(self._mask[0].copy())
        missing = self._smooth[hole]
        for earlier in range(stage):
            missing = missing - self._codebooks[earlier][torch.from_numpy(self._planes[earlier])[hole]]
        nearest = torch.cdist(missing, self._codebooks[stage]).argmin(1)
        self._planes[stage][self._mask[0]] = nearest.numpy()

    def chances(self, down: Tensor, over: Tensor, indices: np.ndarray) -> np.ndarray:
        """Score first-stage indices (n, m) at n positions: (n, m). Nearer to the continuation scores higher.

        Args:
            down, over: (n,) int64, rows and columns of the positions.
            indices: (n, m) integers.
        """
        off = self._smooth[down, over][:, None] - self._codebooks[0][torch.from_numpy(indices)]
        off = off.square().sum(2) / self._usual
        return torch.exp(off.amin(1, keepdim=True) - off).numpy()


def spread(values: Tensor, known: Tensor) -> Tensor:
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
    coarse = spread(coarse, share[0, 0] > 0)
    fine = F.interpolate(coarse.permute(2, 0, 1)[None], scale_factor=2.0, mode="bilinear")
    filled = fine[0, :, :rows, :columns].permute(1, 2, 0)
    for _ in range(4):
        filled = _average(torch.where(known[..., None], values, filled))
    return torch.where(known[..., None], values, filled)


def _average(values: Tensor) -> Tensor:
    """Return the mean over the 3x3 neighbourhood of maps (h, w, D)."""
    padded = F.pad(values.permute(2, 0, 1)[None], (1, 1, 1, 1), mode="replicate")
    return F.avg_pool2d(padded, 3, stride=1)[0].permute(1, 2, 0)
