"""Training with compiled networks and losses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.test_trainer import DATA, RECIPE
from vqcodec.image.find import pictures_below
from vqcodec.training import compiled
from vqcodec.training.config import Phase
from vqcodec.training.data import CropSampler
from vqcodec.training.losses import structure
from vqcodec.training.perceptual import texture_distance
from vqcodec.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not shutil.which(compiled.compiler()), reason="there is no C++ compiler")

# The gradient through the generator is taken twice. Compiling takes long, so there are few losses.
PHASE = Phase("adversarial", 2, crop=32, batch=4, adversarial=0.5, discriminator_start=1, losses={"mse": 1.0})


@pytest.fixture
def enabled() -> Iterator[None]:
    compiled.enable()
    yield
    compiled.enable(False)


def pair(*shape: int) -> list[torch.Tensor]:
    return [torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5 for seed in (0, 1)]


def test_compiled_losses_are_the_same(enabled: None) -> None:
    pictures, features = pair(2, 3, 96, 96), pair(2, 8, 12, 12)
    for loss, given in ((structure, pictures), (texture_distance, [features[:1], features[1:]])):
        compiled.enable()
        fast = loss(*given)
        compiled.enable(False)
        assert torch.allclose(fast, loss(*given), rtol=1e-4), loss


def test_a_compiled_run_learns_and_goes_on_without(enabled: None, tmp_path: Path) -> None:
    crops = CropSampler(pictures_below(DATA))
    recipe = replace(RECIPE, phases=(PHASE,))
    trainer = Trainer(recipe, crops, None, tmp_path)
    before = trainer.model.generator.state_dict()["head.weight"].clone()
    trainer.run()
    assert trainer.skipped == 0
    after = trainer.model.generator.state_dict()["head.weight"]
    assert not torch.equal(before, after)
    compiled.enable(False)
    onward = Trainer(replace(recipe, phases=(replace(PHASE, steps=3),)), crops, None, tmp_path)
    assert torch.equal(onward.model.generator.state_dict()["head.weight"], after)
    onward.run()
    assert onward.step == 3
