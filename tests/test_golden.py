"""Files made once decode forever: committed bytes against committed indices, of the released and of earlier weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import bitstream
from vqcodec.codec import Codec, default_codec
from vqcodec.model import VQGAN, ModelConfig
from vqcodec.model.context import ContextWeights
from vqcodec.weights import ModelFile

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*/*.vqc"))
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")


@cache
def codec_of(folder: Path) -> Codec:
    """A codec with the context model of some weights; its networks are random, and of no use here."""
    tensors = {name: tensor.int() for name, tensor in load_file(folder / "context.safetensors").items()}
    context = ContextWeights(**tensors)
    stages, codewords = context.embedding.shape[:2]
    config = ModelConfig(stages, codewords, 4, (8, 8, 8), (1, 1, 1), (8, 8, 8), (1, 1, 1))
    no_tables = np.zeros((stages, 2, codewords), np.uint32)
    return Codec(ModelFile(None, VQGAN(config), bytes.fromhex(folder.name), no_tables, context))


def planes_of(path: Path) -> np.ndarray:
    with np.load(path.with_suffix(".npz")) as file:
        return file["planes"]


def test_there_are_golden_files_of_the_released_model():
    """New weights need new golden files: `python tests/golden/make_golden.py`."""
    folders = {path.parent.name for path in FILES}
    assert default_codec().model_id.hex() in folders
    assert [path.stem for path in FILES] == len(folders) * ["cat", "coffee", "temple"]


@pytest.mark.parametrize("threads", [1, 2])
@EVERY_FILE
def test_golden_bytes_decode_to_golden_indices(path, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        planes = codec_of(path.parent).unpack(path.read_bytes())
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(planes, planes_of(path))


@EVERY_FILE
def test_golden_indices_code_to_golden_bytes(path):
    data = path.read_bytes()
    header = bitstream.read_header(data)
    assert codec_of(path.parent).pack(planes_of(path), (header.width, header.height)) == data


@pytest.mark.parametrize("name", ["cat", "coffee", "temple"])
def test_the_released_model_codes_as_the_golden_files_say(name):
    path = GOLDEN / default_codec().model_id.hex() / f"{name}.vqc"
    data = path.read_bytes()
    header = bitstream.read_header(data)
    np.testing.assert_array_equal(default_codec().unpack(data), planes_of(path))
    assert default_codec().pack(planes_of(path), (header.width, header.height)) == data


@EVERY_FILE
def test_indices_that_do_not_match_their_checksum_are_an_error(path):
    """A decoder whose context model computes otherwise must say so and give no picture."""
    codec = codec_of(path.parent)
    data = path.read_bytes()
    weights = codec.coder.model.weights
    bias = weights.first_bg if weights.own_first else weights.bg
    bias[0, 3] += 64 * 16
    try:
        with pytest.raises(bitstream.IndexMismatch, match="tile 0, stage 0"):
            codec.decompress(data)
    finally:
        bias[0, 3] -= 64 * 16
    codec.decompress(data)
