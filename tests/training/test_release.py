"""From a training run to a model file that the codec uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.test_trainer import DATA, RECIPE
from vqcodec.codec import Codec
from vqcodec.training.config import Phase, TrainConfig
from vqcodec.training.data import CropSampler, find_images
from vqcodec.training.release import release
from vqcodec.training.trainer import FIDELITY, Trainer
from vqcodec.weights import load_model

DISTORTION = replace(RECIPE, phases=(Phase("rate-aware", 6, crop=32, batch=4, rate=0.5),))


@pytest.fixture(scope="module")
def crops() -> CropSampler:
    return CropSampler(find_images([DATA]))


def train_and_release(
    recipe: TrainConfig, crops: CropSampler, folder: Path, start: Path | None = None
) -> Path:
    Trainer(recipe, crops, None, folder, start).run()
    path = folder / "model.safetensors"
    model_id = release(folder, path, crops, pool=40, steps=20)
    assert load_model(path).model_id == model_id
    return path


def test_a_released_model_compresses(crops: CropSampler, tmp_path: Path) -> None:
    path = train_and_release(DISTORTION, crops, tmp_path)
    file = load_model(path)
    assert file.notes["steps"] == "6"
    assert file.realistic is None
    # Averaged weights, in the precision of the file; codewords are put in another order.
    average = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"]
    for name, value in file.model.encoder.state_dict().items():
        assert torch.equal(value, average[f"encoder.{name}"].half().float()), name
    for mine, theirs in zip(file.model.quantizer.codebooks, average["quantizer.codebooks"], strict=True):
        assert np.array_equal(
            np.unique(mine.numpy(), axis=0), np.unique(theirs.half().float().numpy(), axis=0)
        )
    with Image.open(DATA / "cat.jpg") as image:
        codec = Codec(file)
        assert codec.decompress(codec.compress(image)).size == image.size


def test_after_an_adversarial_phase_both_generators_are_released(crops: CropSampler, tmp_path: Path) -> None:
    adversarial = Phase("adversarial", 3, crop=32, batch=4, adversarial=0.5, train_encoder=False)
    recipe = replace(DISTORTION, phases=(*DISTORTION.phases, adversarial))
    path = train_and_release(recipe, crops, tmp_path)
    file = load_model(path)
    before = torch.load(tmp_path / FIDELITY, weights_only=True)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"]
    for name, value in file.model.generator.state_dict().items():
        assert torch.equal(value, before[f"generator.{name}"].half().float()), name
        assert torch.equal(file.realistic[name], after[f"generator.{name}"].half().float()), name
    assert not torch.equal(file.realistic["head.weight"], file.model.generator.head.weight)

    # A run that goes on from that file alone trains the second generator and keeps the first.
    longer = replace(recipe, phases=(*DISTORTION.phases, replace(adversarial, steps=5)))
    (tmp_path / "next").mkdir()
    further = load_model(train_and_release(longer, crops, tmp_path / "next", start=path))
    assert further.notes["steps"] == "11"
    for name, value in file.model.generator.state_dict().items():
        assert torch.equal(value, further.model.generator.state_dict()[name]), name
    assert not torch.equal(further.realistic["head.weight"], file.realistic["head.weight"])
