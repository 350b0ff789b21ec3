"""Context models for model files that are there, imported ones among them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.entropy.models import random_tables
from tests.support.pictures import scene
from tests.support.planes import TOY
from tests.tools.reference import Published
from tests.tools.test_taming import SMALL, imported
from vqcodec.codec import Codec
from vqcodec.config import Band
from vqcodec.entropy.coders import ContextCoder, TableCoder
from vqcodec.errors import ModelError, RequestError
from vqcodec.model import VQGAN
from vqcodec.planes import Planes
from vqcodec.training.commands import train_context_command
from vqcodec.weights import frequencies, load_model, save_model


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(3):
        scene(256, 256, seed).save(folder / f"{seed}.png")
    return folder


def trained(model: Path, photographs: Path, steps: int = 20) -> Path:
    out = model.with_name("with_context.safetensors")
    arguments = [
        str(model),
        "--data",
        str(photographs),
        "-o",
        str(out),
        "--crops",
        "20",
        "--steps",
        str(steps),
    ]
    result = CliRunner().invoke(train_context_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert load_model(out).model_id.hex() in result.output
    return out


GUMBEL = Published(8192, 16, 16, 32, (1, 1, 1, 1, 1), (16,), gumbel=True, num_res_blocks=1)


@pytest.mark.parametrize("config", [SMALL["f16, 1024"], GUMBEL], ids=["1024", "gumbel, 8192"])
def test_an_imported_model_makes_smaller_files(config: Published, photographs: Path, tmp_path: Path) -> None:
    path = imported(tmp_path, config)
    plain, codec = Codec.load(path), Codec.load(trained(path, photographs))
    assert isinstance(plain.packing.coder, TableCoder)
    assert isinstance(codec.packing.coder, ContextCoder)
    context = codec.packing.context
    assert context.groups[0] * context.members[0] == config.n_embed
    picture = scene(200, 120, seed=5)
    data = codec.compress(picture, quality=100)
    planes = codec.unpack(data)
    assert len(data) < 0.9 * len(plain.compress(picture, quality=100))
    assert codec.packing.bits(planes)[0].sum() / 8 == pytest.approx(len(data), abs=40)
    with pytest.raises(ModelError, match="made with model"):
        plain.decompress(data)

    # The nearest codewords are the same ones under other numbers, and so are the pictures.
    latents = plain.transform.latents(np.asarray(picture), Planes([]))
    before, after = (of.transform.quantize(latents, Planes([]), 0.0) for of in (plain, codec))
    assert before != after
    assert np.array_equal(plain.transform.render(before), codec.transform.render(after))


def test_a_model_of_this_family_is_given_another_context_model(photographs: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    tables = [frequencies(np.ones(layer.codebook_size)) for layer in TOY.layers]
    save_model(path, VQGAN(TOY), tables, base_tables=random_tables(), notes={"steps": "7"})
    once = trained(path, photographs, steps=5)
    file = load_model(once)
    assert file.notes["steps"] == "7"
    assert float(file.notes["bits_context"]) > 0
    again = load_model(trained(once, photographs, steps=10))
    # What has been put in order stays as it is.
    for one, other in zip(file.codebooks, again.codebooks, strict=True):
        assert np.array_equal(one.codebooks, other.codebooks)
        assert np.array_equal(one.codeword_bits, other.codeword_bits)


def test_faults_are_one_line(photographs: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(photographs), "-o", str(tmp_path / "out.safetensors")]
    result = CliRunner().invoke(train_context_command, [str(tmp_path / "none.safetensors"), *arguments])
    assert isinstance(result.exception, ModelError)
    network = VQGAN(replace(TOY, bands=(Band(16, 6, 1, 47),)))
    tables = [frequencies(np.ones(47))]
    save_model(tmp_path / "prime.safetensors", network, tables, base_tables=random_tables())
    result = CliRunner().invoke(train_context_command, [str(tmp_path / "prime.safetensors"), *arguments])
    assert isinstance(result.exception, RequestError)
    assert "47 codewords cannot be split" in str(result.exception)
    assert not (tmp_path / "out.safetensors").exists()
