"""Files made once decode forever: committed bytes against committed indices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import bitstream
from vqcodec.codec import default_codec

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.vqc"))


def planes_of(name: str) -> np.ndarray:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return file["planes"]


def test_there_are_golden_files():
    assert NAMES == ["cat", "coffee", "temple"]


@pytest.mark.parametrize("name", NAMES)
def test_golden_files_are_of_the_released_model(name):
    """New weights need new golden files: `python tests/golden/make_golden.py`."""
    header = bitstream.read_header((GOLDEN / f"{name}.vqc").read_bytes())
    assert header.model_id == default_codec().model_id


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_golden_bytes_decode_to_golden_indices(name, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        planes = default_codec().unpack((GOLDEN / f"{name}.vqc").read_bytes())
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(planes, planes_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_golden_indices_code_to_golden_bytes(name):
    data = (GOLDEN / f"{name}.vqc").read_bytes()
    header = bitstream.read_header(data)
    assert default_codec().pack(planes_of(name), (header.width, header.height)) == data


@pytest.mark.parametrize("name", NAMES)
def test_indices_that_do_not_match_their_checksum_are_an_error(name):
    """A decoder whose context model computes otherwise must say so and give no picture."""
    codec = default_codec()
    data = (GOLDEN / f"{name}.vqc").read_bytes()
    bias = codec.coder.model.weights.bg
    bias[0, 3] += 64 * 16
    try:
        with pytest.raises(bitstream.IndexMismatch, match="tile 0, stage 0"):
            codec.decompress(data)
    finally:
        bias[0, 3] -= 64 * 16
    codec.decompress(data)
