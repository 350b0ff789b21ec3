"""Files made once decode forever: committed bytes against committed indices of the released weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import bitstream
from vqcodec.codec import Codec, default_codec
from vqcodec.entropy.weights import ContextWeights
from vqcodec.planes import Planes
from vqcodec.weights import load_model

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*/*.vqc"))
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def planes_of(path: Path) -> Planes:
    with np.load(path.with_suffix(".npz")) as file:
        layers = [file[f"layer{number}"] for number in range(len(file) - 3)]
        return Planes(layers, int(file["rate"]), file["base"], file["steps"])


def test_there_are_golden_files_of_the_released_model_and_no_others():
    """New weights need new golden files: `python tests/golden/make_golden.py`."""
    assert {path.parent.name for path in FILES} == {default_codec().model_id.hex()}
    assert [path.stem for path in FILES] == ["cat", "coffee", "temple"]


@pytest.mark.parametrize("threads", [1, 2])
@EVERY_FILE
def test_golden_bytes_decode_to_golden_indices(path, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        planes = default_codec().unpack(path.read_bytes())
    finally:
        torch.set_num_threads(before)
    assert planes == planes_of(path)


@EVERY_FILE
def test_golden_indices_code_to_golden_bytes(path):
    data = path.read_bytes()
    header = bitstream.read_header(data)
    assert default_codec().pack(planes_of(path), (header.width, header.height)) == data


def test_indices_that_do_not_match_their_checksum_are_an_error():
    """A decoder whose context model computes otherwise must say so and give no picture."""
    file = load_model()
    first, *others = file.context.layers
    bias = first["bg"].copy()
    bias[3] += 64 * 16
    other = Codec(replace(file, context=ContextWeights([first | {"bg": bias}, *others])))
    for path in FILES:
        with pytest.raises(bitstream.IndexMismatch, match="tile 0, stage 1"):
            other.decompress(path.read_bytes())
