"""The context model computes the same integers however and wherever it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.entropy.models import FINE, LAYERS, SINGLE, random_planes, random_weights
from vqcodec.codec import Codec, default_codec
from vqcodec.entropy.context import ContextModel
from vqcodec.entropy.features import base_features
from vqcodec.entropy.integers import bytes_are_exact, exp_table
from vqcodec.entropy.weights import EIGHT_BIT, ContextWeights, split
from vqcodec.geometry import Box
from vqcodec.planes import Planes

DATA = Path(__file__).parents[1] / "data"
CROSS = [(-1, 0), (0, -1), (0, 1), (1, 0)]
KNIGHT = [(-2, -1), (-2, 1), (-1, -2), (-1, 2), (1, -2), (1, 2), (2, -1), (2, 1)]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


@pytest.fixture(scope="module")
def photograph(codec: Codec) -> Planes:
    planes = codec.encode(Image.open(DATA / "temple.jpg"), quality=70)
    return planes.part(Box(3, 2, 14, 10)).copy()


def model_of(codec: Codec) -> ContextModel:
    assert codec.packing.context is not None
    return codec.packing.context


def walk(model: ContextModel, tiles: list[Planes]) -> list[np.ndarray]:
    """All frequencies, in the order in which a coder asks for them."""
    tables = []
    base = steps = None
    if tiles[0].base is not None:
        base = np.stack([tile.base for tile in tiles])
        steps = np.array([tile.steps[0, 0] for tile in tiles])
    state = model.start(len(tiles), *tiles[0].grid, tiles[0].rate, base, steps)
    for layer in range(len(tiles[0].layers)):
        flat = np.stack([tile.layers[layer] for tile in tiles]).reshape(-1).astype(np.int64)
        state.begin(layer)
        for _ in range(state.passes()):
            positions, _ = state.next_pass()
            symbols, _ = model.symbols(layer, flat[positions])
            tables.append(state.group_frequencies())
            tables.append(state.member_frequencies(symbols))
            state.update(flat[positions])
        state.end()
    return tables


def reference(model: ContextModel, tile: Planes) -> list[np.ndarray]:
    """The same of one tile, position by position in Python integers, written from the description alone."""
    exp = exp_table().astype(np.int64)
    planes = [plane.astype(np.int64) for plane in tile.layers]
    features = None
    if tile.base is not None:
        features = base_features(tile.base[None], tile.steps[:1, 0])[0].astype(np.int64)

    def activate(total):
        return np.clip((total + 32) >> 6, 0, 127)

    def frequencies(total):
        logits = (total + 32) >> 6
        mass = exp[np.minimum(logits.max() - logits, 255)]
        reciprocal = (65536 - len(total)) * 16384 // int(mass.sum())
        result = (mass * reciprocal >> 14) + 1
        result[int(np.argmax(mass))] += 65536 - int(result.sum())
        return result

    tables = []
    for number, layer in enumerate(model.layers[: len(planes)]):
        weights = {name: value.astype(np.int64) for name, value in model.weights.layers[number].items()}
        plane, own = planes[number], weights.get("own", weights["embedding"])
        groups, members = split(layer.codebook_size)
        rows, columns = plane.shape
        stage_before = [n for n in range(number) if model.layers[n].band == layer.band]

        def summed(scale, y, x, number=number):
            """Embeddings of the layers before on a grid, at one position."""
            total = np.zeros(model.embedding[0].shape[1], np.int64)
            for before in range(number):
                there = planes[before]
                if model.layers[before].scale == scale and 0 <= y < len(there) and 0 <= x < len(there[0]):
                    total += model.embedding[before].astype(np.int64)[there[y, x]]
            return np.clip(total, -127, 127)

        twelve = CROSS + KNIGHT
        around = [[], CROSS] if number else [[], turn(double(twelve)), double(twelve), turn(twelve), twelve]
        for which, offsets in enumerate(around):
            group_rows, member_rows = [], []
            for y, x in np.argwhere(passes(rows, columns, len(around)) == which):
                if stage_before and layer.ends and planes[stage_before[-1]][y, x] == 0:
                    continue
                total = weights["r1"][tile.rate >> 4] + weights["b1"][which]
                if "w1" in weights:
                    near = [summed(layer.scale, y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
                    total = total + weights["w1"] @ np.concatenate(near)
                if "u1" in weights:
                    down, over = 2 * (y % 2) - 1, 2 * (x % 2) - 1
                    places = [(0, 0), (down, 0), (0, over), (down, over)]
                    beside = [summed(1, y // 2 + dy, x // 2 + dx) for dy, dx in places]
                    total = total + weights["u1"][2 * (y % 2) + x % 2] @ np.concatenate(beside)
                if features is not None:
                    total = total + weights["c1"] @ features[y // layer.scale, x // layer.scale]
                if which:
                    known = []
                    for dy, dx in offsets:
                        inside = 0 <= y + dy < rows and 0 <= x + dx < columns
                        known.append(own[plane[y + dy, x + dx]] if inside else np.zeros_like(own[0]))
                    total = total + weights["v1"][which - 1] @ np.concatenate(known)
                hidden = activate(weights["w2"] @ activate(total) + weights["b2"])
                group_rows.append(frequencies(weights["wg"] @ hidden + weights["bg"]))
                index = plane[y, x]
                if index or not layer.ends:
                    hidden = activate(weights["w3"] @ hidden + weights["e3"][index // members])
                    group = index // members
                    member_rows.append(frequencies(weights["wm"][group] @ hidden + weights["bm"][group]))
            # A pass may have no positions at all.
            tables += [np.reshape(group_rows, (-1, groups + 1)), np.reshape(member_rows, (-1, members))]
    return tables


def passes(rows: int, columns: int, count: int) -> np.ndarray:
    """The number of the pass at every position, of two or of five."""
    pattern = ["01", "10"] if count == 2 else ["0424", "4343", "2414", "4343"]
    repeats = rows // len(pattern) + 1, columns // len(pattern) + 1
    return np.tile([[int(number) for number in row] for row in pattern], repeats)[:rows, :columns]


def double(offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(2 * down, 2 * over) for down, over in offsets]


def turn(offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """By 45 degrees, from a grid to the one of twice as many positions, or back."""
    return [(down - over, down + over) for down, over in offsets]


def assert_same(got: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for left, right in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_photograph_equals_plain_integer_arithmetic(codec, photograph):
    assert_same(walk(model_of(codec), [photograph]), reference(model_of(codec), photograph))


@pytest.mark.parametrize("grid", [(9, 10), (1, 7), (6, 1), (1, 1)])
@pytest.mark.parametrize(
    ("layers", "has_base"), [(LAYERS, True), (LAYERS, False), (FINE, True), (SINGLE, False)]
)
def test_equals_plain_integer_arithmetic(layers, has_base, grid):
    model = ContextModel(random_weights(layers, has_base), layers, has_base)
    tile = random_planes(layers, has_base, grid)
    assert_same(walk(model, [tile]), reference(model, tile))


def test_products_of_bytes_and_of_floats_are_the_same(codec, photograph):
    """Processors without instructions for products of bytes take floats."""
    kinds = [True, False] if bytes_are_exact() else [False]
    for of_bytes in kinds:
        model = ContextModel(model_of(codec).weights, codec.config.layers, True, of_bytes)
        assert_same(walk(model, [photograph]), walk(model_of(codec), [photograph]))


def test_groups_are_few_and_equal():
    assert [split(size) for size in (4, 24, 48, 256, 1024, 8192, 16384, 65536)] == [
        (2, 2),
        (6, 4),
        (8, 6),
        (16, 16),
        (32, 32),
        (128, 64),
        (128, 128),
        (256, 256),
    ]
    with pytest.raises(ValueError, match="257"):
        split(257)


@pytest.mark.parametrize("of_bytes", [None, False], ids=["fastest", "floats"])
def test_does_not_depend_on_threads_kernels_or_precision(codec, photograph, of_bytes):
    tiles = [photograph]
    wanted = walk(model_of(codec), tiles)
    model = ContextModel(model_of(codec).weights, codec.config.layers, True, of_bytes)
    threads = torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            assert_same(walk(model, tiles), wanted)
        torch.set_float32_matmul_precision("medium")
        assert_same(walk(model, tiles), wanted)
        with torch.backends.mkldnn.flags(enabled=False):
            assert_same(walk(model, tiles), wanted)
        with torch.autocast("cpu", torch.bfloat16):
            assert_same(walk(model, tiles), wanted)
        torch.set_default_dtype(torch.float64)
        assert_same(walk(model, tiles), wanted)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        torch.set_num_threads(threads)


def test_does_not_depend_on_which_tiles_are_computed_together():
    model = ContextModel(random_weights(LAYERS, True), LAYERS, True)
    tiles = [random_planes(LAYERS, True, (7, 8), seed) for seed in range(3)]
    together = walk(model, tiles)
    alone = [walk(model, [tile]) for tile in tiles]
    for number, table in enumerate(together):
        np.testing.assert_array_equal(table, np.concatenate([tables[number] for tables in alone]))


def test_products_stay_exact_in_float32(codec):
    """No sum of products can reach 2**24, the largest range in which float32 holds every integer."""
    for arrays in model_of(codec).weights.layers:
        # Every row of a matrix makes a sum; those of the first layer are added as integers.
        sums = [int(np.abs(array).sum(-1).max()) for name, array in arrays.items() if name in EIGHT_BIT]
        assert max(sums) < (1 << 24) // 127


def test_frequencies_are_positive_and_complete(codec, photograph):
    for table in walk(model_of(codec), [photograph]):
        assert table.min(initial=1) >= 1
        assert set(table.sum(1)) <= {65536}


def test_refuses_weights_of_other_layers_or_without_a_base():
    weights = random_weights(LAYERS, True)
    for layers, has_base in ((LAYERS[:2], True), (LAYERS, False), (LAYERS[:2] + LAYERS[:1:-1], True)):
        with pytest.raises(ValueError, match="context model"):
            ContextModel(weights, layers, has_base)
    again = ContextWeights.from_tensors(weights.tensors())
    for left, right in zip(again.layers, weights.layers, strict=True):
        assert left.keys() == right.keys()
        assert all(np.array_equal(left[name], right[name]) for name in left)
    with pytest.raises(ValueError, match="base"):
        ContextModel(weights, LAYERS, True).start(1, 2, 2)
