"""From a training run to a model file that the codec uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.entropy.models import random_planes
from tests.support.planes import TOY
from tests.training.test_trainer import DATA, RECIPE
from vqcodec.codec import Codec
from vqcodec.image.find import pictures_below
from vqcodec.training.checkpoint import FIDELITY
from vqcodec.training.config import Phase, TrainConfig
from vqcodec.training.data import CropSampler
from vqcodec.training.pool import index_pool
from vqcodec.training.release import release
from vqcodec.training.trainer import Trainer
from vqcodec.weights import load_model

# Weights change by nothing but steps.
DISTORTION = replace(RECIPE, phases=(Phase("quantized", 6, crop=32, batch=4),), revive_every=0)


@pytest.fixture(scope="module")
def crops() -> CropSampler:
    return CropSampler(pictures_below(DATA))


def train_and_release(
    recipe: TrainConfig, crops: CropSampler, folder: Path, start: Path | None = None
) -> Path:
    Trainer(recipe, crops, None, folder, start).run()
    path = folder / "model.safetensors"
    model_id = release(folder, path, crops, pool=40, steps=20, realism=0.25)
    assert load_model(path).model_id == model_id
    return path


def test_a_released_model_compresses(crops: CropSampler, tmp_path: Path) -> None:
    path = train_and_release(DISTORTION, crops, tmp_path)
    file = load_model(path)
    assert file.notes["steps"] == "6"
    assert file.realistic is None
    # Averaged weights, in the precision of the file; codewords are put in another order.
    average = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"]
    for name, value in file.network().encoder.state_dict().items():
        assert torch.equal(value, average[f"encoder.{name}"].half().float()), name
    for band, quantizer in enumerate(file.network().quantizers):
        for mine, theirs in zip(quantizer.codebooks, average[f"quantizers.{band}.codebooks"], strict=True):
            assert not mine[0].any()
            assert np.array_equal(
                np.unique(mine.numpy(), axis=0), np.unique(theirs.half().float().numpy(), axis=0)
            )
    assert [len(table) for table in file.tables] == [layer.codebook_size for layer in TOY.layers]
    with Image.open(DATA / "cat.jpg") as image:
        codec = Codec(file)
        assert codec.decompress(codec.compress(image)).size == image.size


def test_pools_have_no_indices_in_plain_crops_as_files_have_none() -> None:
    sampler = CropSampler(pictures_below(DATA), plain=1.0)
    pool = index_pool(load_model("photo").network(), sampler, 8)
    flat = (pool.base.flatten(2).diff(dim=2) == 0).flatten(1).all(1)
    assert flat.any()
    assert (pool.steps[flat] == 1).all()
    assert not any(layer[flat].any() for layer in pool.layers)


def test_after_an_adversarial_phase_both_generators_are_released(crops: CropSampler, tmp_path: Path) -> None:
    adversarial = Phase("adversarial", 3, crop=32, batch=4, adversarial=0.5, train_encoder=False)
    recipe = replace(DISTORTION, phases=(*DISTORTION.phases, adversarial))
    path = train_and_release(recipe, crops, tmp_path)
    file = load_model(path)
    before = torch.load(tmp_path / FIDELITY, weights_only=True)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"]
    generator = file.network().generator.state_dict()
    for name, value in generator.items():
        assert torch.equal(value, before[f"generator.{name}"].half().float()), name
        assert np.array_equal(file.realistic[name], after[f"generator.{name}"].half().numpy()), name
    assert not np.array_equal(file.realistic["head.weight"], file.weights["generator.head.weight"])

    # Realism blends the weights of both; without being asked, it is what was chosen at the release.
    codec = Codec(file, dtype=torch.float32)
    assert codec.transform.realism == 0.25
    planes = random_planes(TOY.layers, True, (5, 7))
    first, blend, second = (codec.decode(planes, realism=share) for share in (0, 0.25, 1))
    assert first.tobytes() != blend.tobytes() != second.tobytes()
    assert codec.decode(planes).tobytes() == blend.tobytes()
    data = codec.pack(planes, (112, 80))
    assert codec.decompress(data).tobytes() == blend.tobytes()
    assert codec.decompress(data, realism=1).tobytes() == second.tobytes()
    for second, share in (({}, 0), (file.realistic, 1)):
        weights = dict(file.weights) | {f"generator.{name}": value for name, value in second.items()}
        only = Codec(replace(file, weights=weights, realistic=None, notes={}), dtype=torch.float32)
        assert only.decode(planes).tobytes() == codec.decode(planes, realism=share).tobytes()
    with pytest.raises(ValueError, match="not between 0 and 1"):
        codec.decode(planes, realism=1.5)
    with pytest.raises(ValueError, match="no other realism than 0"):
        only.decode(planes, realism=0.5)

    # A run that goes on from that file alone trains the second generator and keeps the first.
    longer = replace(recipe, phases=(*DISTORTION.phases, replace(adversarial, steps=5)))
    (tmp_path / "next").mkdir()
    further = load_model(train_and_release(longer, crops, tmp_path / "next", start=path))
    assert further.notes["steps"] == "11"
    for name in generator:
        name = f"generator.{name}"
        assert np.array_equal(file.weights[name], further.weights[name]), name
    assert not np.array_equal(further.realistic["head.weight"], file.realistic["head.weight"])

    # In a phase that is not adversarial, it is the first that learns on; what the second learned is left.
    third = replace(DISTORTION.phases[0], steps=2, lr=1e-9, final_lr=1e-9)
    (tmp_path / "third").mkdir()
    onward = load_model(
        train_and_release(
            replace(recipe, phases=(*recipe.phases, third)), crops, tmp_path / "third", start=path
        )
    )
    assert onward.realistic is None
    for name in generator:
        name = f"generator.{name}"
        assert np.allclose(file.weights[name], onward.weights[name], atol=1e-3), name

    # Under perceptual losses, it is the second, which has learned them before.
    fourth = replace(third, losses={"mse": 1.0, "perceptual": 1.0})
    (tmp_path / "fourth").mkdir()
    seen = load_model(
        train_and_release(
            replace(recipe, phases=(*recipe.phases, fourth)), crops, tmp_path / "fourth", start=path
        )
    )
    for name in generator:
        assert np.allclose(file.realistic[name], seen.weights[f"generator.{name}"], atol=1e-3), name
