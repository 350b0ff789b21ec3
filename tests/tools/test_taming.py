"""Checkpoints in the published layout become models that compress as the original would."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bitstream import read_header
from tests.support.pictures import scene
from tests.tools.reference import Published, checkpoint, decode, encode, shapes
from vqcodec.codec import Codec
from vqcodec.config import TamingConfig
from vqcodec.errors import ModelError
from vqcodec.extras import MissingExtraError
from vqcodec.model import SkipInitialisation, TamingVQGAN
from vqcodec.tools.taming.command import import_taming_command
from vqcodec.tools.taming.convert import convert, read_config
from vqcodec.weights import load_model, save_model

SMALL = {
    "f16, 1024": Published(1024, 64, 64, 32, (1, 1, 2, 2, 4), (16,)),
    "f16, 16384": Published(16384, 8, 8, 32, (1, 1, 2, 2, 4), (16,)),
    "f8, 256": Published(256, 4, 4, 32, (1, 2, 2, 4), (32,)),
    "f8, gumbel": Published(8192, 64, 64, 32, (1, 1, 2, 4), (32,), gumbel=True),
}
FULL = {
    "f16, 1024": Published(1024, 256, 256, 128, (1, 1, 2, 2, 4), (16,)),
    "f16, 16384": Published(16384, 256, 256, 128, (1, 1, 2, 2, 4), (16,)),
    "f8, 256": Published(256, 4, 4, 128, (1, 2, 2, 4), (32,)),
    "f8, 16384": Published(16384, 4, 4, 128, (1, 2, 2, 4), (32,)),
    "f8, gumbel": Published(8192, 256, 256, 128, (1, 1, 2, 4), (32,), gumbel=True),
}
each_small = pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)


class Callback:
    """Something of a training framework, as their checkpoints hold."""

    ran = False

    def __init__(self) -> None:
        self.best = 0.5

    def __setstate__(self, state: dict) -> None:
        Callback.ran = True


def written(folder: Path, config: Published, content: dict | None = None) -> tuple[Path, Path]:
    """Checkpoint and configuration in files."""
    paths = folder / "last.ckpt", folder / "model.yaml"
    torch.save(content or {"state_dict": checkpoint(config), "epoch": 3}, paths[0])
    paths[1].write_text(config.yaml(), encoding="utf-8")
    return paths


def imported(folder: Path, config: Published, *options: str) -> Path:
    out = folder / "model.safetensors"
    arguments = [str(path) for path in written(folder, config)] + ["-o", str(out), *options]
    result = CliRunner().invoke(import_taming_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert load_model(out).model_id.hex() in result.output
    return out


@pytest.mark.parametrize("config", FULL.values(), ids=FULL)
def test_names_and_shapes_are_those_of_the_published_models(config: Published, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(config.yaml(), encoding="utf-8")
    with SkipInitialisation():
        model = TamingVQGAN(read_config(tmp_path / "model.yaml"))
    ours = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    theirs = {key: shape for key, shape in shapes(config).items() if not key.startswith("quantize.")}
    own = {key: shape for key, shape in ours.items() if key not in theirs}
    assert {key: ours.get(key) for key in theirs} == theirs
    assert own == {
        "latent_rms": (),
        "quantizer.codebooks": (1, config.n_embed, config.embed_dim),
        "quantizer.bits": (1, config.n_embed),
    }


@each_small
def test_reconstruction_is_that_of_the_original(config: Published, tmp_path: Path) -> None:
    codec = Codec.load(imported(tmp_path, config))
    state = checkpoint(config)
    picture = scene(96, 64, seed=1)
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    indices = encode(state, config, x)
    assert len(indices.unique()) > 8

    planes = codec.encode(picture)
    (plane,) = planes.layers
    assert np.array_equal(plane, indices.numpy())
    (latents,) = codec.transform.dequantize(planes).values()
    latents = torch.from_numpy(latents).permute(2, 0, 1)[None]
    expected = decode(state, config, indices)
    assert torch.allclose(codec.transform.networks.model.synthesise(latents), expected, atol=1e-4)

    rounded = ((expected[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(np.asarray(codec.decode(planes), np.float32) - rounded).max() <= 1


def test_normalisation_is_run_where_it_is_exact(tmp_path: Path) -> None:
    # With channels last, PyTorch's group normalisation loses digits in large pictures, more than 1e-4 in the end.
    codec = Codec.load(imported(tmp_path, SMALL["f8, 256"]))
    seen = []
    for module in codec.transform.networks.model.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].is_contiguous()))
    codec.decode(codec.encode(scene(24, 16)))
    assert len(seen) > 40
    assert all(seen)


@each_small
def test_a_picture_of_any_size_goes_through_the_file(config: Published, tmp_path: Path) -> None:
    path = imported(tmp_path, config)
    codec = Codec.load(path)
    picture = scene(75, 50)
    data = codec.compress(picture)
    header = read_header(data)
    assert header.model_id == load_model(path).model_id
    assert (header.width, header.height, header.stages) == (75, 50, 1)
    assert header.rate == 0
    assert 2**header.downsample_log2 == config.factor
    assert codec.decompress(data).size == (75, 50)
    assert codec.unpack(data) == codec.encode(picture)
    # All indices cost the same, and the file has little beside them.
    rows, columns = header.grid
    indices = rows * columns * np.log2(config.n_embed) / 8
    assert indices <= len(data) <= indices + 32

    with pytest.raises(ModelError, match=load_model(path).model_id.hex()):
        Codec.load(changed(path)).decompress(data)


def changed(path: Path) -> Path:
    """Another model: the same one with one weight changed."""
    file = load_model(path)
    model = file.network()
    model.decoder.conv_out.bias[0] += 1
    other = path.with_name("other.safetensors")
    save_model(other, model, file.tables)
    return other


def test_calibration_makes_frequent_codewords_cheap(tmp_path: Path) -> None:
    config = SMALL["f8, 256"]
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for seed in range(3):
        scene(96, 64, seed).save(photographs / f"{seed}.png")
    picture = scene(96, 64)
    plain = Codec.load(imported(tmp_path, config)).compress(picture)
    codec = Codec.load(imported(tmp_path, config, "--calibrate", str(photographs)))
    data = codec.compress(picture)
    assert len(data) < len(plain)
    # The estimated rate, by which codewords are chosen, is that of the file.
    assert codec.transform.bits(codec.unpack(data)) / 8 == pytest.approx(len(data), abs=32)
    # With prices there is something to choose from.
    assert len(codec.compress(picture, quality=0)) < len(data) < len(codec.compress(picture, quality=100))


def test_large_pictures_and_parts_of_them_are_faded_from_window_to_window(tmp_path: Path) -> None:
    codec = Codec.load(imported(tmp_path, SMALL["f16, 1024"]))
    planes = codec.encode(scene(128, 128))
    whole = np.asarray(codec.decode(planes), np.int16)
    codec.transform.networks.area, codec.transform.networks.halo = 16, 1
    parts = np.asarray(codec.decode(planes), np.int16)
    assert parts.shape == whole.shape
    difference = np.abs(parts - whole)
    assert difference.max() > 0
    part = codec.decompress(codec.pack(planes, (128, 128)), region=(40, 50, 60, 30))
    assert np.array_equal(np.asarray(part), parts[50:80, 40:100])
    # In the middle of a zone of 32 pixels there is no step beyond those of the picture itself.
    step_there = np.abs(np.diff(parts, axis=1))[:, 63].mean()
    steps = np.abs(np.diff(whole, axis=1)).mean(axis=(0, 2))
    assert step_there < 1.5 * steps.max()


def test_a_training_checkpoint_is_read_without_running_it(tmp_path: Path) -> None:
    config = SMALL["f16, 1024"]
    content = {
        "state_dict": checkpoint(config),
        "callbacks": {Callback: {"best": 1.0}},
        "hyper_parameters": Callback(),
        "optimizer_states": [{"state": {}, "param_groups": []}],
    }
    paths = written(tmp_path, config, content)
    model = convert(*paths)
    assert not Callback.ran
    scale = model.latent_rms
    assert torch.equal(
        model.quantizer.codebooks[0] * scale, content["state_dict"]["quantize.embedding.weight"]
    )
    assert 0.5 < model.quantizer.codebooks.square().mean().sqrt() < 2


def test_the_vqgan_inside_a_transformer_is_found(tmp_path: Path) -> None:
    config = SMALL["f8, 256"]
    state = checkpoint(config)
    content = {f"first_stage_model.{key}": value for key, value in state.items()}
    content["transformer.tok_emb.weight"] = torch.zeros(4, 4)
    paths = written(tmp_path, config, {"state_dict": content})
    inner = "\n".join(
        f"    {line}" if line else line for line in config.yaml().split("data:")[0].splitlines()
    )
    inner = inner.replace("    model:\n", "    first_stage_config:\n")
    paths[1].write_text(
        f"model:\n  target: taming.models.cond_transformer.Net2NetTransformer\n  params:\n{inner}\n",
        encoding="utf-8",
    )
    assert torch.equal(convert(*paths).encoder.conv_in.weight, state["encoder.conv_in.weight"])


def refused(tmp_path: Path, paths: tuple[Path, Path]) -> str:
    """The one line that the command ends with."""
    out = tmp_path / "model.safetensors"
    result = CliRunner().invoke(import_taming_command, [*map(str, paths), "-o", str(out)])
    assert isinstance(result.exception, ModelError)
    assert not out.exists()
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_embed: 1024", "n_embed: 1025", "does not belong to"),
        ("n_embed: 1024", "n_embed: 100000", "n_embed is 100000"),
        ("    n_embed: 1024\n", "", "n_embed is None"),
        ("ch: 32", "ch: 48", "divisible"),
        ("ch: 32", "ch: ${width}", "ch is '${width}'"),
        ("ch: 32", "ch: 32.0", "ch is 32.0"),
        ("ch: 32", "ch: true", "ch is True"),
        ("ch: 32", "ch: 65537", "ch is 65537"),
        ("ch: 32", 'ch: "3\\n2"', "ch is '3\\n2'"),
        ("in_channels: 3", "in_channels: 182", "in_channels is 182"),
        ("double_z: False", "double_z: True", "double_z is True"),
        ("double_z: False", "double_z: 0", "double_z is 0"),
        ("ch_mult: [ 1,1,2,2,4]", "ch_mult: [ 1,2]", "2 levels"),
        ("ch_mult: [ 1,1,2,2,4]", "ch_mult: {a: 1}", "ch_mult is {'a': 1}, not a list"),
        ("ch_mult: [ 1,1,2,2,4]", "ch_mult: [ 1,-1]", "ch_mult is [1, -1], not a list"),
        ("ch_mult: [ 1,1,2,2,4]", "ch_mult: [ 1,1", "line 15: "),
        ("num_res_blocks: 2", "num_res_blocks: 3", "lacks encoder.down.0.block.2"),
        ("    ddconfig:", "    other:", "ddconfig is missing"),
        ("model:", "models:", "model is missing"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    paths = written(tmp_path, SMALL["f16, 1024"])
    text = paths[1].read_text(encoding="utf-8")
    assert old in text
    paths[1].write_text(text.replace(old, new, 1), encoding="utf-8")
    assert message in refused(tmp_path, paths)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("model: !!python/object/apply:os.mkdir [PLACE]", "constructor for the tag", id="object"),
        pytest.param("model: !!python/name:os.system", "constructor for the tag", id="name"),
        pytest.param("model: !!bool maybe", "not understood", id="tag-that-does-not-fit"),
        pytest.param("a: &a [x, x]\nb: &b [*a, *a]\nmodel: {c: [*b, *b]}", "alias 'a'", id="aliases"),
        pytest.param("a: &a {x: 1}\nmodel: {<<: *a}", "alias 'a'", id="merged-aliases"),
        pytest.param("model: " + "[" * 100_000, "levels deep", id="deep"),
        pytest.param("model: " + "9" * 100_000, "digits", id="long-number"),
        pytest.param("model: \0", "unacceptable character", id="control-character"),
        pytest.param("model: [1\n", "line 2: ", id="open-list"),
        pytest.param("- model\n", "model is missing", id="list"),
        pytest.param("", "model is missing", id="empty"),
        pytest.param("model:\n  params: 1\n", "params is no mapping", id="no-mapping"),
        pytest.param("#" * (1 << 20) + "\n", "larger than 1048576 bytes", id="too-large"),
    ],
)
def test_hostile_configurations_are_refused(text: str, message: str, tmp_path: Path) -> None:
    paths = written(tmp_path, SMALL["f16, 1024"])
    paths[1].write_text(text.replace("PLACE", str(tmp_path / "made")), encoding="utf-8")
    fault = refused(tmp_path, paths)
    assert message in fault
    assert str(paths[1]) in fault
    assert not (tmp_path / "made").exists()


def test_a_configuration_that_is_no_text_is_refused(tmp_path: Path) -> None:
    paths = written(tmp_path, SMALL["f16, 1024"])
    paths[1].write_bytes(b"model: \xff")
    assert "utf-8" in refused(tmp_path, paths)


def test_a_missing_yaml_reader_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vqcodec\[taming\]'") as caught:
        convert(*written(tmp_path, SMALL["f16, 1024"]))
    assert "\n" not in str(caught.value)


def test_checkpoints_that_are_none_are_refused(tmp_path: Path) -> None:
    config = SMALL["f16, 1024"]
    assert "no encoder.conv_in.weight" in refused(tmp_path, written(tmp_path, config, {"a": torch.zeros(2)}))
    state = checkpoint(config)
    del state["quantize.embedding.weight"]
    assert "lacks quantize.embedding.weight" in refused(tmp_path, written(tmp_path, config, state))
    paths = written(tmp_path, config)
    paths[0].write_bytes(paths[0].read_bytes()[:1000])
    assert "cannot read the checkpoint" in refused(tmp_path, paths)
    paths[0].write_bytes(b"not a checkpoint")
    assert "cannot read the checkpoint" in refused(tmp_path, paths)


def test_an_old_torch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.serialization, "get_unsafe_globals_in_checkpoint")
    assert "takes PyTorch 2.6, and this is " in refused(tmp_path, written(tmp_path, SMALL["f16, 1024"]))


def test_a_configuration_comes_back_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(FULL["f8, gumbel"].yaml(), encoding="utf-8")
    config = read_config(tmp_path / "model.yaml")
    assert config == TamingConfig(128, (1, 1, 2, 4), 2, (3,), 256, 256, 8192)
    assert TamingConfig.from_json(config.to_json()) == config
