"""Weights that follow the training: of crops by their rate, and of the adversarial loss."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.config import RATE_BINS
from vqcodec.model.quantizer import rate_bin
from vqcodec.training import distributed

# Steps between measurements of the scale: each takes a second pass through the perceptual network.
MEASURE_EVERY = 8
LARGEST_SCALE = 1e4
# Mean squared error, of pictures in -1..1, that has weight 1: 29 dB. And such a perceptual distance.
TYPICAL, TYPICAL_DISTANCE = 0.005, 0.35
# Share of a batch in the running errors.
_NEWEST = 0.02


class AdversarialBalancer:
    """Scales the adversarial gradient to the norm of the others, at the decoded picture.

    Attributes:
        scale: as last measured; 0 before the first time.
    """

    def __init__(self) -> None:
        self.scale = 0.0

    def gradient(self, others: Tensor, fooling: Tensor, weight: float, decoded: Tensor, step: int) -> Tensor:
        """The gradient of both losses at the decoded picture, of its shape.

        Args:
            others: all losses but the adversarial one, weighted.
            fooling: the adversarial loss.
            weight: share of the norm of the others' gradient that its gradient gets.
            decoded: the picture, (N, 3, H, W).
            step: number of the step; the scale changes slowly and is measured at every eighth.
        """
        if step % MEASURE_EVERY == 0 or not self.scale:
            (kept,) = torch.autograd.grad(others, decoded, retain_graph=True)
            (added,) = torch.autograd.grad(fooling, decoded)
            self.scale = min(float(kept.norm() / (added.norm() + 1e-8)), LARGEST_SCALE)
            return kept + weight * self.scale * added
        (gradient,) = torch.autograd.grad(others + weight * self.scale * fooling, decoded)
        return gradient


class RateBalancer:
    """Weighs the errors of crops so that every part of the rate dial counts the same.

    At a low rate errors are several times as large as at a high one, and alone would decide what is learned. Divided
    by what is usual at their rate, the sum of errors is about the sum of their logarithms, of squared errors that of
    PSNR.

    Args:
        typical: error that has weight 1.
        device: of the weights.

    Attributes:
        usual: (RATE_BINS,), running mean error by part of the dial.
    """

    def __init__(self, typical: float, device: torch.device) -> None:
        self._typical = typical
        self.usual = torch.full((RATE_BINS,), typical, device=device)

    @torch.no_grad()
    def weights(self, errors: Tensor, rate: Tensor) -> Tensor:
        """Weights (N,) of crops, whose errors are taken in.

        Args:
            errors: (N,).
            rate: (N,), points of the dial, 0..1.
        """
        means, there = _means_by_part(errors, rate)
        there &= means.isfinite()
        self.usual.copy_(torch.where(there, self.usual.lerp(means, _NEWEST), self.usual))
        return (self._typical / self.usual.clamp_min(1e-7))[rate_bin(rate)]


def _means_by_part(values: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Means of values by part of the rate dial, over all processes, and the parts that have any, (RATE_BINS,) each.

    Args:
        values: (N,).
        rate: (N,), points of the dial, 0..1.
    """
    bins = rate_bin(rate)
    sums = values.new_zeros(RATE_BINS).index_add(0, bins, values)
    counts = values.new_zeros(RATE_BINS).index_add_(0, bins, torch.ones_like(values))
    if distributed.size() > 1:
        distributed.sum_([sums, counts])
    return sums / counts.clamp_min(1), counts > 0
