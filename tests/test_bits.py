"""What an index is said to cost is what it takes in the file."""

import numpy as np
import pytest
import torch

from vqcodec.codec import Codec
from vqcodec.model import VQGAN, ModelConfig
from vqcodec.model.context import ContextWeights
from vqcodec.weights import ModelFile, frequencies

STAGES, CODEWORDS = 3, 64


def random_context() -> ContextWeights:
    """Weights of a context model of 8 groups whose frequencies are far from even."""
    groups, embedding, hidden = 8, 4, 8
    shapes = {
        "embedding": (STAGES, CODEWORDS, embedding),
        "w1": (STAGES, hidden, 9 * embedding),
        "v1": (STAGES, hidden, 4 * embedding),
        "b1": (STAGES, 2, hidden),
        "w2": (STAGES, hidden, hidden),
        "b2": (STAGES, hidden),
        "wg": (STAGES, groups, hidden),
        "bg": (STAGES, groups),
        "w3": (STAGES, hidden, hidden),
        "e3": (STAGES, groups, hidden),
        "wm": (STAGES, groups, hidden),
        "bm": (STAGES, groups, groups),
        "v0": (3, hidden, 4 * embedding),
        "b0": (3, hidden),
    }
    torch.manual_seed(0)
    return ContextWeights(
        **{name: torch.randint(-60, 61, shape, dtype=torch.int32) for name, shape in shapes.items()}
    )


@pytest.mark.parametrize("context", [None, random_context()], ids=["tables", "context model"])
def test_the_bits_of_all_indices_are_those_of_the_file(context: ContextWeights | None) -> None:
    config = ModelConfig(STAGES, CODEWORDS, 4, (8, 8, 8), (1, 1, 1), (8, 8, 8), (1, 1, 1))
    random = np.random.default_rng(0)
    tables = frequencies(random.exponential(size=(STAGES, 2, CODEWORDS)) ** 3)
    codec = Codec(ModelFile(None, VQGAN(config), b"test", tables, context))
    # Two tiles, one of them not square; codeword 0 often enough that both tables are used.
    planes = random.integers(0, CODEWORDS, (STAGES, 50, 70)) * random.integers(0, 2, (STAGES, 50, 70))

    bits = codec.bits(planes)
    data = codec.pack(planes, (16 * 70, 16 * 50))
    assert bits.shape == planes.shape
    assert bits.min() > 0
    assert len(data) == pytest.approx(bits.sum() / 8, abs=60)
    assert np.array_equal(codec.unpack(data), planes)
    # A prefix of the file takes what its stages cost.
    assert len(codec.pack(planes[:1], (16 * 70, 16 * 50))) == pytest.approx(bits[0].sum() / 8, abs=50)
    assert bits.std() > 1
