"""Small context models of random weights, and planes to code with them."""

from __future__ import annotations

import numpy as np
import torch

from vqcodec.config import Layer
from vqcodec.entropy.base import ALPHABET, CONTEXTS, PLANES
from vqcodec.entropy.coders import going_on
from vqcodec.entropy.weights import ContextWeights
from vqcodec.planes import Planes
from vqcodec.training.context import FloatContextModel, Sizes
from vqcodec.weights import frequencies

# Two stages at 1/16, then two bands at 1/8 with a stage and two.
LAYERS = (
    Layer(0, 0, 1, 64, True),
    Layer(0, 1, 1, 64, True),
    Layer(1, 0, 2, 24, True),
    Layer(2, 0, 2, 16, True),
    Layer(2, 1, 2, 16, True),
)
FINE = (Layer(0, 0, 2, 24, True), Layer(0, 1, 2, 16, True))
"""Without a layer at 1/16."""

SINGLE = (Layer(0, 0, 1, 256, False),)


def random_weights(layers: tuple[Layer, ...], has_base: bool) -> ContextWeights:
    """Weights of a size that uses the range of all activations."""
    torch.manual_seed(0)
    context = FloatContextModel(layers, has_base, Sizes(4, 8, 6, 16))
    for name, parameter in context.named_parameters():
        kind = name.rpartition(".")[2]
        if kind in ("embedding", "own"):
            torch.nn.init.uniform_(parameter, -8, 8)
        elif kind in ("r1", "b1", "b2", "bg", "e3", "bm"):
            torch.nn.init.uniform_(parameter, -2, 2)
        else:
            torch.nn.init.uniform_(parameter, -0.9, 0.9)
    return context.export()


def random_planes(
    layers: tuple[Layer, ...], has_base: bool, grid: tuple[int, int], seed: int = 0, rate: int = 100
) -> Planes:
    """Planes in which positions end, and a base of any colours."""
    rng = np.random.default_rng(seed)
    planes = Planes.empty(grid, [], has_base, rate if has_base else 0)
    if has_base:
        step = int(rng.integers(1, 40))
        planes.steps[:] = step
        planes.base[0] = rng.integers(0, round(255 / step) + 1, grid)
        planes.base[1:] = rng.integers(-round(128 / step) // 2, round(128 / step) // 2 + 1, (2, *grid))
    for layer in layers:
        shape = layer.scale * grid[0], layer.scale * grid[1]
        plane = rng.integers(0, layer.codebook_size, shape)
        if layer.ends:
            plane[rng.random(shape) < 0.4] = 0
            plane[~going_on(layers, planes.layers, shape)] = 0
        planes.layers.append(plane.astype(np.uint16))
    return planes


def random_tables() -> np.ndarray:
    """Tables of the base."""
    rng = np.random.default_rng(0)
    return frequencies(rng.exponential(size=(PLANES, CONTEXTS, ALPHABET)) ** 2 + 0.01)
