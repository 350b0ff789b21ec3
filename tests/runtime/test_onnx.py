"""The networks in ONNX Runtime: what torch computes, and codecs where there is no torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tests.entropy.models import random_planes, random_tables
from tests.support.planes import TOY
from vqcodec.cli.main import cli
from vqcodec.codec import Codec
from vqcodec.errors import ModelError, RequestError
from vqcodec.model import VQGAN
from vqcodec.planes import Planes
from vqcodec.runtime import choice
from vqcodec.runtime import onnx as windows
from vqcodec.runtime.choice import BySize, networks_of
from vqcodec.runtime.onnx import OnnxNetworks
from vqcodec.runtime.pixels import base_features
from vqcodec.runtime.strips import Strips
from vqcodec.runtime.transform import still
from vqcodec.training.onnx.export import write_graphs
from vqcodec.weights import frequencies, graph_files, load_model, save_model

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"


@pytest.fixture(scope="module")
def codecs() -> tuple[Codec, Codec]:
    return Codec.load(runtime="onnx"), Codec.load(dtype=torch.float32)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """72 x 25 positions, the last of each row and column incomplete, with a plain tile beside a photograph."""
    photo = Image.new("RGB", (72 * 16 - 7, 25 * 16 - 3), (200, 30, 60))
    with Image.open(DATA / "coffee.jpg") as image:
        photo.paste(image.resize((1024, 400)), (0, 0))
    return photo


@pytest.fixture(params=[96, 13])
def widest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Windows of any size."""
    monkeypatch.setattr(windows, "WIDEST", request.param)


@pytest.mark.parametrize("quality", [5, 90])
@pytest.mark.usefixtures("widest")
def test_latents_are_those_of_torch(codecs, photo, quality) -> None:
    onnx_codec, torch_codec = codecs
    planes = replace(torch_codec.encode(photo, quality), layers=[])
    pixels = np.asarray(photo)
    found, wanted = (codec.transform.latents(pixels, planes) for codec in codecs)
    assert isinstance(onnx_codec.transform.networks, OnnxNetworks)
    assert set(found) == set(wanted) == {16, 8}
    for grid, latents in wanted.items():
        assert np.allclose(found[grid], latents, atol=1e-3)


@pytest.mark.parametrize(("quality", "realism"), [(10, 0.0), (60, 1.0), (90, 0.4)])
@pytest.mark.usefixtures("widest")
def test_pictures_are_those_of_torch(codecs, photo, quality, realism) -> None:
    data = codecs[1].compress(photo, quality)
    found, wanted = (np.asarray(codec.decompress(data, realism=realism), int) for codec in codecs)
    assert np.abs(found - wanted).max() <= 1
    assert (found != wanted).mean() < 0.01
    # The plain tile is the base, and no generator draws on it.
    assert still(codecs[1].unpack(data))[:, 65:].all()
    assert len(np.unique(found[:, 1040 + 24 :].reshape(-1, 3), axis=0)) == 1
    assert np.abs(found[:, 1040 + 8 :] - (200, 30, 60)).max() <= 2


def test_parts_and_previews_are_those_of_torch(codecs, photo) -> None:
    data = codecs[1].compress(photo, 50)
    for options in ({"region": (100, 60, 200, 90)}, {"scale": 4}, {"scale": 16}, {"stages": 3}):
        found, wanted = (np.asarray(codec.decompress(data, **options), int) for codec in codecs)
        assert np.abs(found - wanted).max() <= 1


def test_what_a_codec_is_run_by(monkeypatch: pytest.MonkeyPatch) -> None:
    file = load_model()
    assert isinstance(networks_of(file, runtime="torch"), Strips)
    assert isinstance(networks_of(file, dtype=torch.float32), Strips)
    # With torch at hand and bfloat16 in the CPU, there is nothing to wait for; otherwise size decides.
    monkeypatch.setattr(choice, "native_bfloat16", lambda: True)
    assert isinstance(networks_of(file), Strips)
    assert choice.of_many(1000) == "torch"
    monkeypatch.setattr(choice, "native_bfloat16", lambda: False)
    assert isinstance(networks_of(file), BySize)
    assert choice.of_many(1000) is None


def test_large_pictures_are_run_in_torch(codecs, photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "native_bfloat16", lambda: False)
    codec = Codec.load()
    assert codec.compress(photo) == codecs[0].compress(photo)
    monkeypatch.setattr(choice, "_LARGE", 100)
    networks = codec.transform.networks
    assert isinstance(networks, BySize)
    assert isinstance(networks.torch, Strips)
    data = codec.compress(photo)
    assert data == Codec.load(runtime="torch").compress(photo)
    assert codec.decompress(data).size == photo.size


def test_a_runtime_that_cannot_run_a_model_says_why(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    shutil.copy(load_model().path, path)
    with pytest.raises(RequestError, match="no graphs beside the model file"):
        Codec.load(path, runtime="onnx")
    with pytest.raises(RequestError, match="takes neither device nor dtype"):
        Codec.load(dtype=torch.bfloat16, runtime="onnx")
    with pytest.raises(RequestError, match="'tensorrt' is neither onnx nor torch"):
        Codec.load(runtime="tensorrt")
    graphs = write_graphs(load_model(path))
    Codec.load(path, runtime="onnx")
    graphs[1].write_bytes(graphs[1].read_bytes()[:1000])
    codec = Codec.load(path, runtime="onnx")
    with pytest.raises(ModelError, match=r"generator\.onnx: cannot read the graph"):
        codec.decode(codec.encode(Image.new("RGB", (32, 32))))


def test_the_released_graphs_are_those_of_the_released_model(tmp_path: Path) -> None:
    file = load_model()
    shutil.copy(file.path, tmp_path)
    written = write_graphs(load_model(tmp_path / file.path.name))
    for path, released in zip(written, graph_files(file).values(), strict=True):
        assert path.name == released.name
        found, wanted = (onnx.load(str(one), load_external_data=False) for one in (path, released))
        assert found.graph == wanted.graph
        assert found.metadata_props == wanted.metadata_props


def test_a_model_of_any_shape_is_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = VQGAN(TOY)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    path = tmp_path / "toy.safetensors"
    tables = [frequencies(np.ones(layer.codebook_size)) for layer in TOY.layers]
    save_model(path, network, tables, base_tables=random_tables())
    write_graphs(load_model(path))
    planes = random_planes(TOY.layers, True, (9, 6))
    found, wanted = (
        np.asarray(Codec.load(path, **options).decode(planes), int)
        for options in ({"runtime": "onnx"}, {"dtype": torch.float32})
    )
    assert np.abs(found - wanted).max() <= 1


def test_other_programs_get_files_that_hold_the_weights(tmp_path: Path, codecs) -> None:
    result = CliRunner().invoke(cli, ["export-onnx", "photo", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    paths = [tmp_path / f"photo-{name}.onnx" for name in ("encoder", "generator")]
    assert result.output.split() == [str(path) for path in paths]
    for path in paths:
        onnx.checker.check_model(str(path), full_check=True)
    planes: Planes = codecs[1].encode(Image.open(DATA / "cat.jpg"), 40)
    session = onnxruntime.InferenceSession(str(paths[1]), providers=["CPUExecutionProvider"])
    latents = codecs[0].transform.dequantize(planes)
    inputs = {f"latents{grid}": values.transpose(2, 0, 1)[None] for grid, values in latents.items()}
    inputs |= {
        "base": base_features(planes.base, planes.steps)[None],
        "rate": np.array([planes.point], np.float32),
        "realism": np.ones(1, np.float32),
    }
    (picture,) = session.run(None, inputs)
    pixels = ((picture[0].transpose(1, 2, 0) + 1) * 127.5).round().clip(0, 255)
    assert np.abs(pixels - np.asarray(codecs[1].decode(planes, realism=1.0))).max() <= 1


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
{}
assert sys.modules["torch"] is None
assert not any(name.startswith("torch.") for name in sys.modules)
"""


def without_torch(code: str) -> str:
    """What a program prints in a process in which nothing can import torch."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH.format(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_files_are_made_and_read_without_torch(codecs, tmp_path: Path) -> None:
    source, data, picture = DATA / "cat.jpg", tmp_path / "cat.vqc", tmp_path / "cat.png"
    without_torch(
        f"""
from vqcodec.cli.main import cli
for arguments in (
    ["compress", {str(source)!r}, "-o", {str(data)!r}],
    ["compress", {str(source)!r}, "--bpp", "0.1", "-o", {str(tmp_path / "small.vqc")!r}],
    ["info", {str(data)!r}],
    ["decompress", {str(data)!r}, "-o", {str(picture)!r}],
):
    cli(arguments, standalone_mode=False)
"""
    )
    assert data.read_bytes() == codecs[0].compress(source)
    assert len((tmp_path / "small.vqc").read_bytes()) * 8 <= 0.1 * 451 * 300
    with Image.open(picture) as found:
        off = np.abs(np.asarray(found, int) - np.asarray(codecs[1].decompress(data.read_bytes()), int))
    assert off.max() <= 1


def test_pillow_opens_and_damage_is_concealed_without_torch(codecs, tmp_path: Path) -> None:
    data = codecs[0].compress(DATA / "cat.jpg")
    (tmp_path / "whole.vqc").write_bytes(data)
    (tmp_path / "damaged.vqc").write_bytes(data[: len(data) // 2] + bytes(8) + data[len(data) // 2 + 8 :])
    said = without_torch(
        f"""
import warnings
from PIL import Image
import vqcodec
from vqcodec.plugin import register_vqc_opener
register_vqc_opener()
print(Image.open({str(tmp_path / "whole.vqc")!r}).convert("RGB").size)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    print(vqcodec.decompress({str(tmp_path / "damaged.vqc")!r}, conceal=True).size)
"""
    )
    assert said == "(451, 300)\n" * 2


def test_what_needs_torch_says_so() -> None:
    said = without_torch(
        """
from click.testing import CliRunner
from vqcodec.cli.main import main
for arguments in (
    ["compress", "tests/data/cat.jpg", "-o", "cat.vqc", "--runtime", "torch"],
    ["compress", "tests/data/cat.jpg", "-o", "cat.vqc", "--device", "cuda"],
    ["train", "--data", "tests/data", "--out", "run"],
):
    sys.stderr = sys.stdout
    try:
        main(arguments)
    except SystemExit as left:
        print(left.code)
"""
    )
    needs = "which this model, device or runtime needs, cannot be used: pip install torch"
    lines = said.splitlines()
    assert lines[:4] == [f"vqcodec: torch, {needs}", "1", f"vqcodec: torch, {needs}", "1"]
    assert lines[4].startswith("vqcodec: torch, which `vqcodec train` needs, cannot be used")
    assert lines[5:] == ["1"]
