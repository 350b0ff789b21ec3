"""Looks at what a step decoded: the networks and the weights of crops that losses take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vqcodec.evaluation.metrics.stlpips import STLPIPS
from vqcodec.runtime.device import autocast, channels_last
from vqcodec.training.balancer import TYPICAL, TYPICAL_DISTANCE, RateBalancer
from vqcodec.training.compiled import compilable
from vqcodec.training.config import Phase
from vqcodec.training.losses import Rendering
from vqcodec.training.perceptual import PerceptualDistance, distance, shifted


class Viewer:
    """Prepares what the losses of the picture see.

    Args:
        device: of the pictures.
        generator: source of the draws.

    Attributes:
        perceptual: the network whose features losses and discriminator look at.
        rates: weights of crops in the errors of pixels.
        seen_rates: the same in the errors of features.
    """

    def __init__(self, device: torch.device, generator: torch.Generator) -> None:
        self._device = device
        self._generator = generator
        self.perceptual = channels_last(PerceptualDistance(), device)
        self.rates = RateBalancer(TYPICAL, device)
        self.seen_rates = RateBalancer(TYPICAL_DISTANCE, device)

    @cached_property
    def _stlpips(self) -> STLPIPS:
        # It takes several times as long as the codec, so only phases with its loss load it.
        return channels_last(STLPIPS("vgg"), self._device)

    @cached_property
    def _stlpips_features(self) -> Callable[[Tensor], list[Tensor]]:
        return compilable(self._stlpips.features)

    def __call__(self, phase: Phase, decoded: Tensor, pictures: Tensor, rate: Tensor) -> Rendering:
        """Features of a share of the crops if any loss of the phase needs these, and weights.

        Args:
            phase: of the recipe.
            decoded, pictures: (N, 3, H, W).
            rate: (N,), points of the dial, 0..1.
        """
        errors = (decoded.detach() - pictures).square().flatten(1).mean(1)
        rendering = Rendering(decoded, pictures, rate, self.rates.weights(errors, rate))
        if not phase.looks_at_features:
            return rendering
        judged = math.ceil(phase.judged * len(pictures))
        down, right = torch.randint(max(1, phase.margin), (2,), generator=self._generator).tolist()
        seen, original = (shifted(part[:judged], down, right, phase.margin) for part in (decoded, pictures))
        with torch.no_grad():
            rendering.wanted = self.perceptual.features(original)
        rendering.features = self.perceptual.features(seen)
        distances = distance([feature.detach() for feature in rendering.features], rendering.wanted)
        rendering.seen_weights = self.seen_rates.weights(distances, rate[:judged])
        if "stlpips" in phase.losses:
            compared = math.ceil(phase.compared * len(pictures))
            rendering.distances = self._stlpips_distance(seen[:compared], original[:compared])
        return rendering

    def _stlpips_distance(self, seen: Tensor, original: Tensor) -> Tensor:
        """ST-LPIPS (n,). Its gradient stays small where a picture has next to no features."""
        look = self._stlpips_features
        with autocast(self._device):
            with torch.no_grad():
                wanted = look(original)
            features = look(seen)
        return _weighted_distance(features, wanted, self._stlpips.channel_weights)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {"usual": self.rates.usual, "usual_distance": self.seen_rates.usual}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.rates.usual.copy_(state["usual"])
        self.seen_rates.usual.copy_(state["usual_distance"])


@compilable
def _weighted_distance(
    features: Sequence[Tensor], targets: Sequence[Tensor], channel_weights: Sequence[Tensor]
) -> Tensor:
    total = features[0].new_zeros(len(features[0]), dtype=torch.float32)
    for got, want, weights in zip(features, targets, channel_weights, strict=True):
        difference = _unit_vectors(got.float()) - _unit_vectors(want.float())
        total = total + (difference.square() * weights).sum(1).mean((1, 2))
    return total


def _unit_vectors(features: Tensor) -> Tensor:
    return features * (features.square().sum(1, keepdim=True) + 1e-10).rsqrt()
