"""Discriminator on the features of the perceptual network (projected GAN, Sauer et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import Optimizer

from vqcodec.training import distributed
from vqcodec.training.optim import set_learning_rate
from vqcodec.training.step import autocast


class FeatureDiscriminator(nn.Module):
    """Judges patches as real or generated, by one small head per tapped depth of a frozen network.

    The features are computed for the perceptual distance anyway, so the discriminator costs little, and it
    starts from a network that knows what pictures are made of.

    Args:
        channels: of the tapped features.
        width: channels inside a head.
    """

    def __init__(self, channels: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(count, width, 1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(width, 1, 1)),
            )
            for count in channels
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Logits (N, 1, h, w) of each depth, high for real patches."""
        return [head(feature) for head, feature in zip(self.heads, features, strict=True)]


def hinge(real: Sequence[Tensor], generated: Sequence[Tensor]) -> Tensor:
    """The discriminator's loss: 2 where it cannot tell, 0 where it is sure by a margin of 1."""
    losses = [
        F.relu(1 - yes.float()).mean() + F.relu(1 + no.float()).mean()
        for yes, no in zip(real, generated, strict=True)
    ]
    return torch.stack(losses).mean()


def adversarial(generated: Sequence[Tensor]) -> Tensor:
    """The generator's loss."""
    return -torch.stack([logits.float().mean() for logits in generated]).mean()


def train_discriminator(
    discriminator: FeatureDiscriminator,
    optimiser: Optimizer,
    real: Sequence[Tensor],
    generated: Sequence[Tensor],
    lr: float,
) -> Tensor:
    """Do one step of the discriminator on features of real and of decoded pictures; return its loss."""
    set_learning_rate([optimiser], lr)
    with autocast(real[0].device):
        judgements = discriminator(real), discriminator(generated)
    loss = hinge(*judgements)
    optimiser.zero_grad(set_to_none=True)
    common = loss.detach().clone()
    distributed.mean_([common])
    if torch.isfinite(common):
        loss.backward()
        distributed.mean_(
            parameter.grad for parameter in discriminator.parameters() if parameter.grad is not None
        )
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return loss.detach()
