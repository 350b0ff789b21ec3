"""Units that never fire get new weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_trainer import DATA, RECIPE
from vqcodec.image.find import pictures_below
from vqcodec.model import VQGAN
from vqcodec.model.blocks import ResidualBlock
from vqcodec.training.config import Phase
from vqcodec.training.data import CropSampler
from vqcodec.training.trainer import Trainer

DEAD = 5
FIRST = RECIPE.phases[1]
BOTH = Phase("both", 3, crop=64, batch=4)
GENERATOR = replace(BOTH, train_encoder=False)


@pytest.fixture(scope="module")
def crops() -> CropSampler:
    return CropSampler(pictures_below(DATA))


def with_dead_units(crops: CropSampler, out: Path, phase: Phase) -> Trainer:
    """A trainer at the start of a phase, with some dead units in a block of the encoder and in one of the generator."""
    trainer = Trainer(replace(RECIPE, phases=(FIRST, phase)), crops, None, out)
    for _ in range(FIRST.steps):
        trainer.train_step()
    trainer.reviver.revived = 0
    torch.manual_seed(1)
    with torch.no_grad():
        for block in trainer.model.modules():
            if isinstance(block, ResidualBlock):
                block.spatial.bias.fill_(1)
        for block in blocks(trainer.model):
            block.spatial.bias[:DEAD] = -1e4
            block.leave.weight.normal_(std=0.1)
    trainer.average.load_state_dict(trainer.model.state_dict())
    return trainer


def blocks(network: VQGAN) -> list[ResidualBlock]:
    return [network.encoder.at16[0], network.generator.at16[0]]


@torch.no_grad()
def decoded(network: VQGAN, crops: CropSampler) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures without quantization, and at what share of positions units of the block of the generator fire."""
    pictures, rate = crops.batch(np.random.default_rng(1), 32, 64), torch.linspace(0, 1, 32)
    fires: list[torch.Tensor] = []
    hook = blocks(network)[1].spatial.register_forward_hook(
        lambda _, __, found: fires.append((found > 0).float().mean((0, 2, 3)))
    )
    base = network.base(pictures, network.config.base_step(rate))
    found = network.synthesise(network.analyse(pictures, base, rate), base, rate)
    hook.remove()
    return found, fires[0]


def test_dead_units_live_again_and_pictures_stay(crops: CropSampler, tmp_path: Path) -> None:
    trainer = with_dead_units(crops, tmp_path, BOTH)
    before = [decoded(network, crops) for network in (trainer.model, trainer.average)]
    trainer.reviver(BOTH, crops, (0,))
    assert trainer.reviver.revived == 2 * DEAD
    for network, (pictures, fired) in zip((trainer.model, trainer.average), before, strict=True):
        after, fires = decoded(network, crops)
        assert torch.allclose(after, pictures, atol=1e-5)
        assert (fired[:DEAD] == 0).all()
        assert (fires[:DEAD] > 0.02).all()
        assert torch.equal(fires[DEAD:], fired[DEAD:])
    for _ in range(2):
        trainer.train_step()
    assert (blocks(trainer.model)[1].leave.weight[:, :DEAD].norm(dim=0) > 0).all()


def test_where_the_generator_alone_learns_the_encoder_stays(crops: CropSampler, tmp_path: Path) -> None:
    trainer = with_dead_units(crops, tmp_path, GENERATOR)
    before = {name: value.clone() for name, value in trainer.model.encoder.state_dict().items()}
    trainer.train_step()
    assert trainer.reviver.revived == DEAD
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.encoder.state_dict().items())


def test_a_run_that_revives_units_resumes_exactly(crops: CropSampler, tmp_path: Path) -> None:
    through = with_dead_units(crops, tmp_path, BOTH)
    through.save()
    resumed = Trainer(through.config, crops, None, tmp_path)
    for trainer in (through, resumed):
        for _ in range(BOTH.steps):
            trainer.train_step()
        assert trainer.reviver.revived == 2 * DEAD
    for (name, one), other in zip(
        through.model.state_dict().items(), resumed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
