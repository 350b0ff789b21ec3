"""The kernel distance against its formula, and on sets whose order is known."""

import math
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import ImageFilter

from tests.support.pictures import scene
from vqcodec.evaluation.metrics.kid import PatchFeatures, kernel_distance


def unit_vectors(patches: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(patches, 16)) + 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_agrees_with_the_definition_pair_by_pair() -> None:
    originals = [unit_vectors(3, 0), unit_vectors(4, 1)]
    decoded = [unit_vectors(3, 2), unit_vectors(4, 3)]
    x, y = np.concatenate(originals), np.concatenate(decoded)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) + 1) ** 3

    terms = [
        kernel(x[i], x[j]) + kernel(y[i], y[j]) - kernel(x[i], y[j]) - kernel(x[j], y[i])
        for i in range(7)
        for j in range(7)
        if i != j
    ]
    distance = kernel_distance(originals, decoded)
    assert distance.value == pytest.approx(np.mean(terms))
    assert distance.patches == 7
    assert distance.standard_error > 0
    assert math.isnan(kernel_distance(originals[:1], decoded[:1]).standard_error)


def test_is_zero_for_equal_sets_and_near_zero_for_two_draws_of_one_kind() -> None:
    sets = [[unit_vectors(40, seed + shift) for seed in range(6)] for shift in (0, 100)]
    assert kernel_distance(sets[0], sets[0]).value == 0
    draw = kernel_distance(sets[0], sets[1])
    moved = kernel_distance(sets[0], [vectors * np.repeat([1, -1], 8) for vectors in sets[1]])
    assert abs(draw.value) < 4 * draw.standard_error
    assert moved.value > 10 * draw.standard_error


def test_sets_have_to_match() -> None:
    with pytest.raises(ValueError, match="differ"):
        kernel_distance([unit_vectors(3, 0)], [unit_vectors(2, 0)])
    with pytest.raises(ValueError, match="two patches"):
        kernel_distance([unit_vectors(1, 0)], [unit_vectors(1, 0)])


@pytest.mark.skipif(find_spec("stlpips_pytorch") is None, reason="stlpips-pytorch is not installed")
def test_blur_is_less_real_than_a_shift() -> None:
    features = PatchFeatures()
    pictures = [scene(200, 136, seed) for seed in range(4)]
    originals = [features(picture) for picture in pictures]
    assert originals[0].shape == (6, 256)
    assert features(scene(63, 200)).shape == (0, 256)

    shifted = [features(picture.transform(picture.size, 0, (1, 0, 2, 0, 1, 0))) for picture in pictures]
    blurred = [features(picture.filter(ImageFilter.GaussianBlur(1.5))) for picture in pictures]
    assert kernel_distance(originals, shifted).value < kernel_distance(originals, blurred).value
