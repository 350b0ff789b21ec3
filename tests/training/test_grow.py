"""Growing a trained network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.support.planes import TOY
from vqcodec.model import VQGAN
from vqcodec.training.grow import grow
from vqcodec.weights import load_model


def test_a_grown_network_computes_the_same() -> None:
    released = load_model().network()
    before = released.config
    more = {"encoder_blocks": (1, 0, 2), "generator_blocks": (2, 1, 1)}
    blocks = {name: tuple(map(sum, zip(getattr(before, name), more[name], strict=True))) for name in more}
    after = replace(before, lmbdas=(24.0, 0.05), **blocks)
    grown = VQGAN(after)
    grown.load_state_dict(grow(released.state_dict(), before, after))
    pictures = 2 * torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) - 1
    rate = torch.tensor([0.4])
    with torch.no_grad():
        base = released.base(pictures, torch.tensor([5.0]))
        latents = released.analyse(pictures, base, rate)
        torch.testing.assert_close(grown.analyse(pictures, base, rate), latents)
        torch.testing.assert_close(
            grown.synthesise(latents, base, rate), released.synthesise(latents, base, rate)
        )
    assert sum(map(torch.numel, grown.parameters())) > sum(map(torch.numel, released.parameters()))


@pytest.mark.parametrize(
    "change", [{"generator_blocks": (5, 3, 2)}, {"bands": TOY.bands}, {"encoder_widths": (64, 128, 512)}]
)
def test_only_blocks_are_added(change: dict) -> None:
    released = load_model().network()
    with pytest.raises(ValueError, match="more residual blocks"):
        grow(released.state_dict(), released.config, replace(released.config, **change))
