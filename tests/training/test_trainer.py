"""Training: exact resume, healthy codebooks, damaged steps, recipes."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pytorch_msssim import ms_ssim
from torch import nn

from tests.support.planes import TOY
from vqcodec.evaluation.metrics.stlpips import STLPIPS
from vqcodec.image.find import pictures_below
from vqcodec.rate import BEND
from vqcodec.training import checkpoint
from vqcodec.training.balancer import RateBalancer
from vqcodec.training.config import Phase, TrainConfig
from vqcodec.training.data import CropSampler
from vqcodec.training.losses import (
    LOSSES,
    SCALES,
    Rendering,
    lattice_error,
    msssim,
    picture_losses,
    structure,
)
from vqcodec.training.perceptual import distance, texture_distance
from vqcodec.training.trainer import Trainer
from vqcodec.training.validation import Validator
from vqcodec.training.viewer import Viewer
from vqcodec.weights import find_model, load_model

DATA = Path(__file__).parent.parent / "data"
RECIPES = Path(__file__).parent.parent.parent / "vqcodec" / "training" / "recipes"

SMALL = TOY
RECIPE = TrainConfig(
    model=SMALL,
    phases=(
        Phase("autoencoder", 3, crop=32, batch=4, warmup=2, quantize=False),
        Phase(
            "quantized",
            3,
            crop=32,
            batch=4,
            losses={"l1": 1.0, "perceptual": 1.0, "coarse": 1.0},
            final_lr=1e-4,
        ),
        Phase("perceptual", 3, crop=64, batch=4, window=40, losses={"mse": 1.0, "stlpips": 1.0}),
        Phase("adversarial", 3, crop=32, batch=4, adversarial=0.5, discriminator_start=1),
        Phase("generator", 3, crop=32, batch=4, adversarial=0.5, train_encoder=False),
    ),
    save_every=4,
    validate_every=1000,
)


@pytest.fixture(scope="module")
def crops() -> CropSampler:
    return CropSampler(pictures_below(DATA))


def logged_steps(run: Path) -> list[int]:
    with (run / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_a_resumed_run_equals_one_that_went_through(crops, tmp_path):
    through = Trainer(RECIPE, crops, None, tmp_path / "through")
    through.run()

    stopped = Trainer(RECIPE, crops, None, tmp_path / "stopped")
    for _ in range(7):
        stopped.train_step()
    stopped.save()
    resumed = Trainer(RECIPE, crops, None, tmp_path / "stopped")
    assert resumed.step == 7
    resumed.run()

    pairs = (
        (one, getattr(resumed, name)) for name, one in vars(through).items() if isinstance(one, nn.Module)
    )
    for left, right in pairs:
        for (name, one), other in zip(left.state_dict().items(), right.state_dict().values(), strict=True):
            assert torch.equal(one, other), name
    for one, other in zip(through.learners, resumed.learners, strict=True):
        assert torch.equal(one.counts, other.counts)
        assert torch.equal(one.end_counts, other.end_counts)
    assert torch.equal(through.viewer.rates.usual, resumed.viewer.rates.usual)


def test_a_run_continues_from_the_released_model(crops, tmp_path):
    """Weights, step and hours are the model's, and its codebooks stay in use."""
    released = load_model()
    phase = Phase("further", 10**6, crop=64, batch=8, lr=1e-9, final_lr=1e-9)
    recipe = TrainConfig(released.config, (phase,))
    trainer = Trainer(recipe, crops, None, tmp_path, start=released.path)
    start = trainer.step
    assert start == int(released.notes["steps"])
    assert trainer.seconds / 3600 == pytest.approx(float(released.notes["hours"]))
    for _ in range(2):
        trainer.train_step()
    assert trainer.step == start + 2
    for learner, after, before in zip(
        trainer.learners, trainer.model.quantizers, released.network().quantizers, strict=True
    ):
        assert learner.restarts == 0
        # Two batches hardly move running means over a hundred, neither of codewords nor of their rates.
        moved = (after.codebooks - before.codebooks).norm() / before.codebooks.norm()
        assert 0 < moved < 0.1
        assert (after.end_bits - before.end_bits)[before.end_bits < 4].abs().mean() < 0.5
    # A run folder that holds a checkpoint goes on from there.
    trainer.save()
    assert Trainer(recipe, crops, None, tmp_path, start=released.path).step == start + 2


def test_a_run_does_not_continue_from_another_model(crops, tmp_path):
    with pytest.raises(ValueError, match="not the model of the recipe"):
        Trainer(RECIPE, crops, None, tmp_path, start=find_model())


def test_loss_falls(crops, tmp_path):
    phase = Phase("autoencoder", 200, crop=32, batch=8, quantize=False, lr=1e-2, final_lr=1e-2)
    trainer = Trainer(replace(RECIPE, phases=(phase,)), crops, None, tmp_path)
    for _ in range(100):
        trainer.train_step()
    errors = [entry["mse"] for entry in trainer.log.window]
    assert np.mean(errors[-10:]) < 0.6 * np.mean(errors[:10])


def test_without_the_encoder_only_the_generator_learns(crops, tmp_path):
    trainer = Trainer(RECIPE, crops, None, tmp_path)
    for _ in range(12):
        trainer.train_step()
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    for _ in range(3):
        trainer.train_step()
    changed = {
        name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert {name.split(".")[0] for name in changed} == {"generator"}


def test_a_phase_aside_leaves_its_generator_and_goes_back(crops, tmp_path):
    aside = Phase("aside", 3, crop=32, batch=4, train_encoder=False, aside=True)
    recipe = replace(RECIPE, phases=(*RECIPE.phases[:2], aside, RECIPE.phases[4]))
    trainer = Trainer(recipe, crops, None, tmp_path)
    for _ in range(6):
        trainer.train_step()
    before = {name: value.clone() for name, value in trainer.average.state_dict().items()}
    # What an earlier phase has kept gives way.
    trainer.keep_fidelity()
    for _ in range(2):
        trainer.train_step()
    # A stop in between does not lose where the phase started.
    trainer.save()
    trainer = Trainer(recipe, crops, None, tmp_path)
    trainer.train_step()
    kept = checkpoint.read(tmp_path / checkpoint.FIDELITY)
    after = trainer.average.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert not torch.equal(after["generator.head.weight"], kept["generator.head.weight"])
    # The adversarial phase behind keeps it.
    trainer.train_step()
    after = checkpoint.read(tmp_path / checkpoint.FIDELITY)
    assert all(torch.equal(value, after[name]) for name, value in kept.items())


def test_the_perceptual_networks_see_a_window_of_the_crops(crops):
    phase = Phase("perceptual", 3, crop=96, batch=4, window=64, judged=0.5, losses={"stlpips": 1.0})
    viewer = Viewer(torch.device("cpu"), torch.Generator())
    pictures = crops.batch(np.random.default_rng(0), 4, 96)
    decoded = (pictures + 0.2 * torch.randn(pictures.shape)).requires_grad_()
    rendering = viewer(phase, decoded, pictures, torch.rand(4) / 2)
    LOSSES["stlpips"](rendering).sum().backward()
    rows, columns = (decoded.grad[:2].abs().sum((0, 1, axis)).nonzero() for axis in (3, 2))
    assert all(0 < place.max() - place.min() < 64 for place in (rows, columns))
    assert (decoded.grad[2:] == 0).all()
    assert torch.isfinite(decoded.grad).all()


def test_stlpips_as_a_loss_is_the_metric(crops):
    phase = Phase("perceptual", 3, crop=64, batch=2, window=64, judged=1.0, losses={"stlpips": 1.0})
    viewer = Viewer(torch.device("cpu"), torch.Generator())
    pictures = crops.batch(np.random.default_rng(0), 2, 64)
    decoded = pictures.flip(0)
    found = viewer(phase, decoded, pictures, torch.tensor([0.0, 0.8])).distances
    assert torch.allclose(found, STLPIPS("vgg")(decoded, pictures), rtol=0.02)


def test_the_discriminator_learns_to_tell_pictures_from_an_untrained_generator(crops, tmp_path):
    phase = Phase(
        "adversarial", 40, crop=64, batch=4, adversarial=0.5, discriminator_start=40, lr=0.0, final_lr=0.0
    )
    trainer = Trainer(replace(RECIPE, phases=(phase,)), crops, None, tmp_path)
    for _ in range(30):
        trainer.train_step()
    losses = [entry["discriminator"] for entry in trainer.log.window]
    assert losses[0] > 1.5
    assert losses[-1] < 0.8 * losses[0]


def test_steps_that_are_not_finite_are_skipped_and_counted(crops, tmp_path):
    trainer = Trainer(RECIPE, crops, None, tmp_path)
    trainer.train_step()
    before = {name: value.clone() for name, value in trainer.model.encoder.state_dict().items()}
    head = trainer.model.generator.head
    kept = head.bias.detach().clone()
    head.bias.data.fill_(float("nan"))
    trainer.train_step()
    head.bias.data.copy_(kept)
    assert trainer.skipped == 1
    for name, value in trainer.model.encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    trainer.train_step()
    assert trainer.skipped == 1


def test_the_log_of_a_resumed_run_has_every_step_once(crops, tmp_path, monkeypatch):
    monkeypatch.setattr("vqcodec.training.trainer.LOG_EVERY", 3)
    trainer = Trainer(RECIPE, crops, None, tmp_path)
    for _ in range(2):
        trainer.train_step()
    trainer.save()
    # Steps 3 to 6 are logged, and then lost with the machine: the checkpoint stays that of step 2.
    checkpoint = (tmp_path / "checkpoint.pt").read_bytes()
    trainer.config = replace(RECIPE, phases=(replace(RECIPE.phases[0], steps=6),))
    trainer.run()
    (tmp_path / "checkpoint.pt").write_bytes(checkpoint)
    Trainer(RECIPE, crops, None, tmp_path).run()
    assert logged_steps(tmp_path) == [3, 6, 9, 12, 15]


@pytest.mark.parametrize("stop_at", [None, 4])
def test_the_last_steps_are_logged_when_the_recipe_is_finished(crops, tmp_path, stop_at):
    """They are fewer than a row takes. A run that was stopped leaves its own to the one that resumes it."""
    recipe = replace(RECIPE, phases=(replace(RECIPE.phases[0], steps=5),))
    if stop_at:
        trainer = Trainer(recipe, crops, None, tmp_path)
        step = trainer.train_step

        def last_step() -> None:
            step()
            trainer.stopping = trainer.step == stop_at

        trainer.train_step = last_step
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
        assert not (tmp_path / "metrics.csv").exists()
    Trainer(recipe, crops, None, tmp_path).run()
    assert logged_steps(tmp_path) == [5]
    # Neither a run without steps nor more phases write them again.
    Trainer(recipe, crops, None, tmp_path).run()
    assert logged_steps(tmp_path) == [5]
    Trainer(replace(recipe, phases=(*recipe.phases, RECIPE.phases[1])), crops, None, tmp_path).run()
    assert logged_steps(tmp_path) == [5, 8]


def test_a_checkpoint_knows_its_recipe(crops, tmp_path):
    recipe = replace(RECIPE, phases=RECIPE.phases[:1])
    first = Trainer(recipe, crops, None, tmp_path)
    first.run()
    assert first.finished
    assert not first.recipe_changed
    again = Trainer(recipe, crops, None, tmp_path)
    assert again.finished
    assert not again.recipe_changed
    extended = Trainer(RECIPE, crops, None, tmp_path)
    assert extended.step == 3
    assert extended.recipe_changed
    with pytest.raises(ValueError, match=r"checkpoint\.pt: not the model of the recipe"):
        Trainer(replace(RECIPE, model=replace(SMALL, lmbdas=(1.0, 0.1))), crops, None, tmp_path)


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_a_damaged_checkpoint_is_refused_by_name(crops, tmp_path, kept):
    Trainer(replace(RECIPE, phases=RECIPE.phases[:1]), crops, None, tmp_path).run()
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(whole[:kept])
    with pytest.raises(ValueError, match=r"checkpoint\.pt: damaged, or not of a training run"):
        Trainer(RECIPE, crops, None, tmp_path)


def test_validation_measures_whole_photographs(crops, tmp_path):
    trainer = Trainer(RECIPE, crops, None, tmp_path)
    row = Validator([DATA / "temple.jpg"], size=192, rates=(0.0, 0.5)).measure(trainer.average)
    names = "bpp", "psnr", "msssim", "perceptual", "texture"
    assert set(row) == {f"{name}@{rate}" for name in names for rate in ("0", "0.5")}
    assert 0 < float(row["psnr@0.5"]) < 60
    assert float(row["bpp@0"]) <= float(row["bpp@0.5"])


def test_every_part_of_the_dial_counts_the_same():
    balancer = RateBalancer(0.01, torch.device("cpu"))
    rate = torch.linspace(0, 0.99, 60)
    # Low rates have errors a hundred times as large.
    errors = 0.1 * 0.01**rate
    for _ in range(600):
        weights = balancer.weights(errors, rate)
    assert torch.allclose((weights * errors).view(6, 10).mean(1), torch.tensor(0.01), rtol=0.01)


def test_weights_of_crops_hold_for_what_the_perceptual_network_sees():
    features = [torch.rand(3, 4, 9, 9, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    pictures = torch.zeros(3, 3, 16, 16)
    weights = torch.tensor([2.0, 0.0, 1.0])
    seen = Rendering(pictures, pictures, torch.zeros(3), None, features[:1], features[1:], weights)
    for name, apart in (("perceptual", distance), ("texture", texture_distance)):
        assert torch.allclose(LOSSES[name](seen), apart(features[:1], features[1:]) * weights)


def test_a_weight_of_two_numbers_goes_along_the_dial():
    decoded = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1).expand(3, 3, 32, 32)
    rendering = Rendering(decoded, torch.zeros_like(decoded), torch.tensor([0.0, 0.25, 1.0]))
    total, parts = picture_losses(rendering, {"mse": (100.0, 300.0), "l1": 2.0})
    assert parts["mse"].item() == pytest.approx((0.01 + 0.04 + 0.09) / 3)
    assert parts["l1"].item() == pytest.approx(0.2)
    assert total.item() == pytest.approx((100 * 0.01 + 150 * 0.04 + 300 * 0.09) / 3 + 2 * 0.2)


@pytest.mark.parametrize("weight", ["1", [1.0], [1.0, 2.0, 3.0], None, float("nan"), [1.0, "2"]])
def test_a_weight_that_is_none_is_named(weight):
    with pytest.raises(ValueError) as caught:
        Phase("wrong", 1, losses={"mse": weight})
    assert str(caught.value) == "weight of 'mse' is neither a number nor a pair of them"


@pytest.mark.parametrize("count", [4, 7, 16])
def test_the_first_crops_of_a_batch_are_spread_over_the_dial(crops, tmp_path, count):
    """Losses that see a share of the crops see the first of them. Low rates come often: they are of many qualities."""
    trainer = Trainer(RECIPE, crops, None, tmp_path)
    pictures = crops.batch(np.random.default_rng(0), 16, 32)
    for seed in range(5):
        trainer.generator.manual_seed(seed)
        rate = trainer.forward(RECIPE.phases[0], pictures, first=True).rate[:count]
        quality = rate.pow(1 / BEND).sort().values
        gaps = torch.cat([quality, quality[:1] + 1]).diff()
        assert gaps.max() < 2 / count


def test_stlpips_sees_its_share_of_the_crops():
    viewer = Viewer(torch.device("cpu"), torch.Generator().manual_seed(0))
    pictures = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    decoded = (pictures * 0.5).requires_grad_()
    phase = Phase(
        "perceptual", 1, batch=8, judged=0.5, compared=0.25, losses={"stlpips": 1.0, "perceptual": 1.0}
    )
    rendering = viewer(phase, decoded, pictures, torch.linspace(0, 1, 8))
    assert len(LOSSES["perceptual"](rendering)) == 4
    LOSSES["stlpips"](rendering).sum().backward()
    assert (decoded.grad[:2] != 0).any()
    assert not (decoded.grad[2:] != 0).any()


def test_plain_pictures_get_a_base_in_steps_of_one_level(crops, tmp_path):
    trainer = Trainer(RECIPE, crops, None, tmp_path)
    flat = torch.full((8, 3, 64, 64), 0.3)
    ramp = torch.linspace(-0.5, 0.5, 64).expand(8, 3, 64, 64)
    noise = torch.rand(8, 3, 64, 64) * 2 - 1
    noise = torch.nn.functional.interpolate(noise[:, :, ::16, ::16], scale_factor=16)
    rate = torch.linspace(0, 0.8, 8)
    for plain in (flat, ramp):
        assert (trainer.forward.base_steps(plain, rate) == 1).all()
    steps = trainer.forward.base_steps(noise, rate)
    usual = torch.tensor([TOY.base_step(point) for point in rate.tolist()])
    assert (steps <= usual + 1e-4).all()
    assert (steps >= 1).all()
    assert len(steps.unique()) > 4


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_recipes_load(path):
    config = TrainConfig.load(path)
    assert config.steps == sum(phase.steps for phase in config.phases)
    assert all(phase.crop % 16 == 0 for phase in config.phases)


def test_the_recipe_of_the_readme_loads(tmp_path):
    readme = RECIPES.parents[2] / "README.md"
    path = tmp_path / "small.json"
    path.write_text(re.search(r"```json\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)[1])
    assert TrainConfig.load(path).steps == 420


def misspelt(values):
    values["phases"][0]["stepz"] = 3


def wide_window(values):
    values["phases"][1]["window"] = 200


def unknown_loss(values):
    values["phases"][1]["losses"] = {"charbonier": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (misspelt, "phase 1: unknown field 'stepz', known are name, steps, crop, "),
        (unknown_loss, "phase 2: unknown losses ['charbonier'], known are l1, mse, coarse, lattice, "),
        (lambda values: values.pop("model"), "missing field 'model'"),
        (lambda values: values["model"].pop("bands"), "model: missing field 'bands'"),
        (lambda values: values["phases"][2].pop("steps"), "phase 3: missing field 'steps'"),
        (wide_window, "phase 2: a window of 200 pixels is larger than the crops of 64"),
        (
            lambda values: values["phases"][1].update(aside=True),
            "phase 2: a phase aside trains the generator alone",
        ),
        (lambda values: values.update(phases=["l1"]), 'phase 1: not an object of fields: "l1"'),
    ],
)
def test_a_faulty_recipe_is_refused_by_field(tmp_path, change, message):
    values = json.loads((RECIPES / "photo.json").read_text())
    change(values)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError) as caught:
        TrainConfig.load(path)
    assert str(caught.value).startswith(f"{path}: not a training recipe: {message}")


def test_a_recipe_that_is_not_json_is_refused_by_line(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text('{\n  "model": {},\n  "phases" []\n}\n')
    with pytest.raises(ValueError) as caught:
        TrainConfig.load(path)
    assert str(caught.value) == f"{path}: not JSON: Expecting ':' delimiter (line 3, column 12)"


def test_structure_is_ms_ssim_of_the_picture_reduced():
    torch.manual_seed(0)
    pictures = F.avg_pool2d(torch.rand(2, 3, 768, 1024) * 2 - 1, 4, 2, 1)
    decoded = (0.8 * pictures + 0.05 * torch.randn_like(pictures)).clamp(-1, 1)
    reduced = (F.avg_pool2d(part / 2 + 0.5, 2) for part in (decoded, pictures))
    weights = [share / sum(SCALES) for share in SCALES]
    expected = ms_ssim(*reduced, data_range=1.0, size_average=False, weights=weights)
    assert structure(decoded, pictures).tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    assert structure(pictures, pictures).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_the_msssim_loss_pulls_towards_the_picture():
    torch.manual_seed(0)
    picture = F.interpolate(torch.rand(1, 3, 16, 16), scale_factor=8, mode="bilinear") * 2 - 1
    decoded = (picture * 0.5).requires_grad_()
    msssim(Rendering(decoded, picture, torch.zeros(1))).sum().backward()
    assert ((picture - decoded.detach()) * decoded.grad).sum() < 0


@pytest.mark.parametrize("period", [4, 8, 16])
@pytest.mark.parametrize("sides", [(128, 192), (64, 64), (48, 80), (16, 16)])
def test_the_lattice_error_is_of_what_repeats(period, sides):
    torch.manual_seed(0)
    grid = torch.randn(1, 3, period, period).tile(2, 1, *(side // period for side in sides))
    colour = grid.mean((2, 3), keepdim=True)
    expected = 0.0
    for cell in (4, 8, 16):
        cells = grid[..., :16, :16].unflatten(2, (-1, cell)).unflatten(4, (-1, cell)).mean((2, 4))
        expected += (cells - colour).abs().mean().item()
    assert lattice_error(grid).mean().item() == pytest.approx(expected, rel=1e-5)
    assert lattice_error(torch.full((1, 3, *sides), 0.5)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("sides", [(128, 192), (64, 64), (48, 80), (16, 16)])
def test_what_does_not_repeat_averages_out_in_the_lattice_error(sides):
    torch.manual_seed(0)
    noise = torch.randn(2, 3, *sides)
    share = 0.0
    for cell, most in ((4, 16), (8, 8), (16, 8)):
        share += (min(most, sides[0] // cell) * min(most, sides[1] // cell)) ** -0.5
    assert lattice_error(noise).mean().item() == pytest.approx(noise.abs().mean().item() * share, rel=0.1)
