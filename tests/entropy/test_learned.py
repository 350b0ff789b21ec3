"""What the context model learns in float is what it tells in integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tests.entropy.models import LAYERS, SINGLE
from vqcodec.config import Layer
from vqcodec.entropy.coders import ContextCoder, TableCoder, going_on
from vqcodec.entropy.context import ContextModel
from vqcodec.planes import Planes
from vqcodec.training.context import FloatContextModel, Sizes, coded_indices, train_context
from vqcodec.training.pool import Pool
from vqcodec.weights import frequencies

EDGE = 8


@dataclass(frozen=True)
class Shape:
    """What training needs to know of a model."""

    layers: tuple[Layer, ...]
    has_base: bool


def smooth(rng: np.random.Generator, count: int, edge: int) -> np.ndarray:
    """Fields (count, edge, edge) in 0..1 whose neighbours are alike."""
    coarse = rng.random((count, edge // 4, edge // 4)).repeat(4, 1).repeat(4, 2)
    return np.clip(coarse + 0.05 * rng.standard_normal(coarse.shape), 0, 0.999)


def pool_of(layers: tuple[Layer, ...], has_base: bool, count: int, seed: int) -> Pool:
    """Crops in which indices follow a smooth field, and positions end where it is low."""
    rng = np.random.default_rng(seed)
    planes: list[np.ndarray] = []
    field = smooth(rng, count, EDGE)
    for layer in layers:
        wide = field.repeat(layer.scale, 1).repeat(layer.scale, 2)
        indices = (wide * layer.codebook_size).astype(np.int64)
        if layer.ends:
            indices[wide < 0.3] = 0
            indices[~going_on(layers, planes, indices.shape)] = 0
        planes.append(indices)
    rates = torch.from_numpy(rng.integers(0, 256 if has_base else 1, count))
    if not has_base:
        return Pool([torch.from_numpy(plane) for plane in planes], rates)
    base = np.zeros((count, 3, EDGE, EDGE), np.int16)
    base[:, 0] = field * 25
    return Pool(
        [torch.from_numpy(plane) for plane in planes],
        rates,
        torch.from_numpy(base),
        torch.full((count,), 10),
    )


def tiles_of(pool: Pool) -> list[Planes]:
    tiles = []
    for number in range(len(pool)):
        layers = [plane[number].numpy().astype(np.uint16) for plane in pool.layers]
        rate = int(pool.rates[number])
        if pool.base is None:
            tiles.append(Planes(layers, rate))
        else:
            tiles.append(Planes(layers, rate, pool.base[number].numpy(), np.full((EDGE, EDGE), 10, np.uint8)))
    return tiles


@pytest.fixture(scope="module", params=[(LAYERS, True), (SINGLE, False)], ids=["base", "single"])
def learned(request: pytest.FixtureRequest) -> tuple[Shape, FloatContextModel, Pool]:
    shape = Shape(*request.param)
    bands = {layer.band for layer in shape.layers}
    torch.manual_seed(0)
    books = []
    for band in sorted(bands):
        sizes = [layer.codebook_size for layer in shape.layers if layer.band == band]
        # Codewords lie along a line, in the order of their indices, but for some noise.
        book = 0.1 * torch.randn(len(sizes), sizes[0], 6)
        book[..., 0] += torch.linspace(-2, 2, sizes[0])
        books.append(book)
    pool = pool_of(*request.param, 128, seed=0)
    context = train_context(pool, shape, books, steps=100, batch=8, sizes=Sizes(8, 32, 8, 32))
    return shape, context, pool_of(*request.param, 16, seed=1)


@torch.no_grad()
def test_integers_cost_what_floats_cost_to_a_percent(learned):
    shape, context, pool = learned
    context.rounding = False
    floats = float(context.bits(pool).sum())
    context.rounding = True
    rounded = float(context.bits(pool).sum())
    coder = ContextCoder(ContextModel(context.export(), shape.layers, shape.has_base))
    integers = sum(float(bits.sum()) for tile in tiles_of(pool) for bits in coder.bits(tile))
    assert integers == pytest.approx(floats, rel=0.01)
    assert integers == pytest.approx(rounded, rel=0.005)


@torch.no_grad()
def test_a_sample_of_positions_stands_for_all(learned):
    _, context, pool = learned
    whole = context.bits(pool).sum(0)
    torch.manual_seed(0)
    samples = torch.stack([context.bits(pool, most=100).sum(0) for _ in range(100)])
    assert (samples.std(0) > 0).all()
    assert torch.allclose(samples.mean(0), whole, rtol=0.05)
    assert torch.equal(context.bits(pool, most=10**6).sum(0), whole)


def test_saves_bits_against_the_best_tables(learned):
    shape, context, pool = learned
    coder = ContextCoder(ContextModel(context.export(), shape.layers, shape.has_base))
    # Counted on the same crops: no tables do better there.
    tables = [
        frequencies(torch.bincount(indices, minlength=layer.codebook_size).numpy() + 0.001)
        for indices, layer in zip(coded_indices(pool, shape.layers), shape.layers, strict=True)
    ]
    plain = TableCoder(tables, shape.layers)
    tiles = tiles_of(pool)
    with_tables = sum(float(bits.sum()) for tile in tiles for bits in plain.bits(tile))
    assert sum(float(bits.sum()) for tile in tiles for bits in coder.bits(tile)) < with_tables
