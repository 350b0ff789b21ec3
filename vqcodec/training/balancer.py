"""The weight of the adversarial loss: a share of the gradient of all others (VQGAN, equation 7)."""

from __future__ import annotations

import torch
from torch import Tensor

# Steps between measurements of the scale: each takes a second pass through the perceptual network.
MEASURE_EVERY = 8
LARGEST_SCALE = 1e4


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
