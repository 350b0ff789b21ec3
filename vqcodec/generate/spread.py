"""Smooth continuation of known values into a hole."""

from __future__ import annotations

import numpy as np

from vqcodec.forks import operation
from vqcodec.geometry import Box
from vqcodec.runtime.pixels import enlarged_part


def nearest(codebook: np.ndarray, plane: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Indices (n,) of the codewords that lie nearest to a smooth continuation of the known ones, in a hole.

    Args:
        codebook: (K, D).
        plane: (h, w) integers.
        hole: (h, w) bool, true at the n positions that are unknown.
    """
    missing = continued(codebook[plane], ~hole)[hole]
    with operation:
        products = missing @ codebook.T
    return (np.square(codebook).sum(1) - 2 * products).argmin(1)


def continued(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Continue values (h, w, D) float32 smoothly from where `known` (h, w) is true to everywhere.

    The method averages over ever larger squares and interpolates back (pull-push, Gortler et al., SIGGRAPH
    1996). On the way back, each resolution is smoothed.
    """
    if known.all():
        return values
    rows, columns = known.shape
    share = _halved(known.astype(np.float32)[..., None])
    coarse = _halved(values * known[..., None]) / share.clip(1e-9)
    coarse = continued(coarse, share[..., 0] > 0)
    filled = enlarged_part(coarse, Box(0, 0, coarse.shape[1], coarse.shape[0]), 2)[:rows, :columns]
    for _ in range(4):
        filled = _average(np.where(known[..., None], values, filled))
    return np.where(known[..., None], values, filled)


def _halved(values: np.ndarray) -> np.ndarray:
    """Return the mean of 2x2 values of maps (h, w, D), which are continued by zeros."""
    rows, columns, dim = values.shape
    values = np.pad(values, ((0, rows % 2), (0, columns % 2), (0, 0)))
    return values.reshape(-(-rows // 2), 2, -(-columns // 2), 2, dim).mean((1, 3))


def _average(values: np.ndarray) -> np.ndarray:
    """Return the mean over the 3x3 neighbourhood of maps (h, w, D)."""
    for axis in (0, 1):
        size = values.shape[axis]
        places = np.arange(size)
        sides = (values.take((places + shift).clip(0, size - 1), axis) for shift in (-1, 0, 1))
        values = sum(sides) / np.float32(3)
    return values
