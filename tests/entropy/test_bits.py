"""What an index is said to cost is what it takes in the file."""

import numpy as np
import pytest

from tests.entropy.test_context import random_weights
from vqcodec.codec import Codec
from vqcodec.entropy.weights import ContextWeights
from vqcodec.model import VQGAN, ModelConfig
from vqcodec.weights import ModelFile, frequencies

STAGES, CODEWORDS = 3, 64


@pytest.mark.parametrize(
    "context", [None, random_weights(STAGES, CODEWORDS)], ids=["tables", "context model"]
)
def test_the_bits_of_all_indices_are_those_of_the_file(context: ContextWeights | None) -> None:
    config = ModelConfig(STAGES, CODEWORDS, 4, (8, 8, 8), (1, 1, 1), (8, 8, 8), (1, 1, 1))
    random = np.random.default_rng(0)
    tables = frequencies(random.exponential(size=(STAGES, 2, CODEWORDS)) ** 3)
    codec = Codec(ModelFile(None, VQGAN(config), b"test", tables, context))
    # Two tiles, one of them not square; codeword 0 often enough that both tables are used.
    planes = random.integers(0, CODEWORDS, (STAGES, 50, 70)) * random.integers(0, 2, (STAGES, 50, 70))

    bits = codec.packing.bits(planes)
    data = codec.pack(planes, (16 * 70, 16 * 50))
    assert bits.shape == planes.shape
    assert bits.min() > 0
    assert len(data) == pytest.approx(bits.sum() / 8, abs=60)
    assert np.array_equal(codec.unpack(data), planes)
    # A prefix of the file takes what its stages cost.
    assert len(codec.pack(planes[:1], (16 * 70, 16 * 50))) == pytest.approx(bits[0].sum() / 8, abs=50)
    assert bits.std() > 1
