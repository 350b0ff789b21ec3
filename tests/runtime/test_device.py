"""Networks on other devices: the same indices, and the same picture but for rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqcodec.cli.main import main
from vqcodec.codec import Codec, default_codec
from vqcodec.errors import RequestError

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "golden" / default_codec().model_id.hex() / "coffee.vqc"

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


@on_gpu
def test_a_gpu_decodes_the_same_indices_to_the_same_picture() -> None:
    data = GOLDEN.read_bytes()
    codec = Codec.load(device="cuda")
    assert np.array_equal(codec.unpack(data), default_codec().unpack(data))
    expected = np.asarray(Codec.load(dtype=torch.float32).decompress(data), int)
    # Convolutions on a GPU may use TF32.
    assert np.abs(np.asarray(codec.decompress(data), int) - expected).max() <= 4


@on_gpu
def test_files_made_on_a_gpu_decode_on_the_cpu() -> None:
    with Image.open(ROOT / "data" / "coffee.jpg") as image:
        image.load()
    data = Codec.load(device="cuda").compress(image, quality=60)
    assert len(data) == pytest.approx(len(default_codec().compress(image, quality=60)), rel=0.02)
    error = np.asarray(default_codec().decompress(data), float) - np.asarray(image)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 20


@pytest.mark.parametrize("device", ["quantum", "cuda:99"])
def test_a_device_that_is_not_there_is_named(
    device: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(RequestError, match=device):
        Codec.load(device=device)
    with pytest.raises(SystemExit) as stopped:
        main(["decompress", str(GOLDEN), "-o", str(tmp_path / "out.png"), "--device", device])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"vqcodec: torch cannot use the device {device!r} here\n"
