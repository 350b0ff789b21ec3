"""Scales of the latents: what is followed in one phase is held in the next."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.training.scales import LatentScales

RATE = torch.linspace(0, 0.99, 24)


def latents(seed: int, scale: Tensor | float = 1.0) -> Tensor:
    """24 crops over the whole dial, large at its lower end."""
    values = torch.randn(24, 8, 16, 16, generator=torch.Generator().manual_seed(seed))
    return values * (2 - RATE)[:, None, None, None] * scale


def followed() -> LatentScales:
    scales = LatentScales(2, torch.device("cpu"))
    for seed in range(60):
        scales.follow(1, latents(seed), RATE)
    return scales


def test_latents_of_the_scale_they_had_do_not_drift():
    assert followed().drift(1, latents(100), RATE) < 1e-3


def test_low_rates_cannot_grow_while_high_ones_shrink():
    """The common root mean square stays what it was, so nothing else would notice."""
    low = RATE < 0.5
    values = latents(100)
    power = values.square().mean((1, 2, 3))
    shrunk = (power.sum() - 1.2 * power[low].sum()) / power[~low].sum()
    pulled = values * torch.where(low, 1.2, shrunk).sqrt()[:, None, None, None]
    assert torch.isclose(pulled.square().mean(), values.square().mean())
    pulled.requires_grad_()
    drift = followed().drift(1, pulled, RATE)
    assert drift > 0.02
    drift.backward()
    # A step against the gradient makes those smaller that grew, and those larger that shrank.
    inwards = (pulled.grad * pulled.detach()).sum((1, 2, 3))
    assert (inwards[low] > 0).all()
    assert (inwards[~low] < 0).all()


def test_parts_of_the_dial_without_crops_count_for_nothing():
    scales = followed()
    few = latents(100)[:4] * 3
    whole = torch.cat([few, latents(100)[4:]])
    assert torch.isclose(scales.drift(1, few, RATE[:4]), scales.drift(1, whole, RATE), rtol=0.05)


def test_a_run_that_starts_with_scales_to_hold_takes_those_that_it_finds():
    scales = LatentScales(2, torch.device("cpu"))
    for seed in range(60):
        scales.drift(0, latents(seed, 5.0), RATE)
    assert scales.drift(0, latents(100, 5.0), RATE) < 0.01
    assert scales.drift(0, latents(100), RATE) > 5
