"""The context model computes the same integers however and wherever it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bitstream
from bitstream import Header
from vqcodec.codec import Codec, default_codec
from vqcodec.entropy.coders import ContextCoder
from vqcodec.entropy.context import ContextModel, exp_table
from vqcodec.entropy.weights import EIGHT_BIT, ContextWeights, split

DATA = Path(__file__).parents[1] / "data"
SHAPE = (11, 14)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


def model_of(codec: Codec) -> ContextModel:
    assert isinstance(codec.packing.coder, ContextCoder)
    return codec.packing.coder.model


def planes_of(kind: str, codec: Codec, count: int = 2) -> np.ndarray:
    stages, size = codec.config.stages, codec.config.codebook_size
    if kind == "photograph":
        planes = codec.encode(Image.open(DATA / "temple.jpg"), quality=70)
        parts = [planes[:, top : top + SHAPE[0], 3 : 3 + SHAPE[1]] for top in range(count)]
        return np.stack(parts)
    if kind == "random":
        return np.random.default_rng(1).integers(0, size, (count, stages, *SHAPE)).astype(np.uint16)
    return np.full((count, stages, *SHAPE), {"zeros": 0, "last": size - 1}[kind], np.uint16)


def walk(model: ContextModel, planes: np.ndarray) -> list[np.ndarray]:
    """All frequencies, in the order in which a coder asks for them."""
    tables = []
    count, stages, rows, columns = planes.shape
    state = model.start(count, rows, columns)
    for stage in range(stages):
        for positions in state.passes:
            symbols = planes[:, stage].reshape(count, -1)[:, positions.numpy()].reshape(-1).astype(np.int64)
            tables.append(state.group_frequencies())
            tables.append(state.member_frequencies(symbols // model.members))
            state.update(symbols)
    return tables


def reference(model: ContextModel, planes: np.ndarray) -> list[np.ndarray]:
    """The same, position by position in Python integers and int64 arrays, written from the description alone."""
    weights = {name: tensor.numpy().astype(np.int64) for name, tensor in model.weights.tensors().items()}
    exp = exp_table().numpy().astype(np.int64)

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
    _, stages, rows, columns = planes.shape
    planes = planes.astype(np.int64)
    cross = [(-1, 0), (0, -1), (0, 1), (1, 0)]
    knight = [(-2, -1), (-2, 1), (-1, -2), (-1, 2), (1, -2), (1, 2), (2, -1), (2, 1)]
    for stage in range(stages):
        own = stage == 0
        prefix, row = ("first_", 0) if own else ("", stage - 1)

        def of(name, prefix=prefix, row=row):
            return weights[prefix + name][row]

        if own:
            twelve = cross + knight
            around_in_pass = [[], turn(double(twelve)), double(twelve), turn(twelve), twelve]
        else:
            around_in_pass = [[], cross]
        for which, offsets in enumerate(around_in_pass):
            group_rows, member_rows = [], []
            for tile in planes:
                for y, x in np.argwhere(passes(rows, columns, len(around_in_pass)) == which):

                    def at(plane, table, dy, dx, y=y, x=x):
                        if not (0 <= y + dy < rows and 0 <= x + dx < columns):
                            return np.zeros(table.shape[1], np.int64)
                        return table[plane[y + dy, x + dx]]

                    total = (weights["first_b1"] if own else of("b1"))[which].copy()
                    around = []
                    for dy in (-1, 0, 1):
                        for dx in (-1, 0, 1):
                            summed = np.zeros(weights["embedding"].shape[2], np.int64)
                            for before in range(stage):
                                summed += at(tile[before], weights["embedding"][before], dy, dx)
                            around.append(np.clip(summed, -127, 127))
                    if not own:
                        total += of("w1") @ np.concatenate(around)
                    if which:
                        table = weights["first_embedding"][0] if own else weights["embedding"][stage]
                        known = np.concatenate([at(tile[stage], table, *offset) for offset in offsets])
                        if own:
                            total += weights["first_v1"][which - 1] @ known
                        else:
                            total += of("v1") @ known
                    hidden = activate(of("w2") @ activate(total) + of("b2"))
                    group_rows.append(frequencies(of("wg") @ hidden + of("bg")))
                    group = tile[stage, y, x] // model.members
                    hidden = activate(of("w3") @ hidden + of("e3")[group])
                    member_rows.append(frequencies(of("wm")[group] @ hidden + of("bm")[group]))
            # A pass may have no positions at all.
            tables += [
                np.reshape(group_rows, (-1, model.groups)),
                np.reshape(member_rows, (-1, model.members)),
            ]
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


@pytest.mark.parametrize("kind", ["photograph", "zeros", "last", "random"])
def test_equals_plain_integer_arithmetic(codec, kind):
    planes = planes_of(kind, codec)
    for got, wanted in zip(walk(model_of(codec), planes), reference(model_of(codec), planes), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("kind", ["photograph", "random"])
def test_products_of_bytes_and_of_floats_are_the_same(codec, kind):
    """Processors without instructions for products of bytes take floats."""
    planes = planes_of(kind, codec)
    floats = ContextModel(model_of(codec).weights)
    floats._bytes = None
    for got, wanted in zip(walk(floats, planes), walk(model_of(codec), planes), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("shape", [(1, 14), (11, 1), (1, 1)])
def test_equals_plain_integer_arithmetic_in_a_single_row_or_column(codec, shape):
    planes = planes_of("random", codec, 1)[..., : shape[0], : shape[1]]
    for got, wanted in zip(walk(model_of(codec), planes), reference(model_of(codec), planes), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("codewords", [24, 64])
def test_codewords_in_groups_of_any_size(codewords):
    model = ContextModel(random_weights(3, codewords))
    planes = np.random.default_rng(2).integers(0, codewords, (2, 3, 13, 15)).astype(np.uint16)
    for got, wanted in zip(walk(model, planes), reference(model, planes), strict=True):
        np.testing.assert_array_equal(got, wanted)
    coder = ContextCoder(model)
    header = Header(240, 208, b"0000", 3, codewords)
    data = bitstream.write(header, coder.write(planes[:1]))
    readers = [bitstream.read(data).payload.tile(0)]
    np.testing.assert_array_equal(coder.read(readers, [(13, 15)])[0], planes[0])


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


def random_weights(stages: int, codewords: int, channels: int = 4, hidden: int = 8) -> ContextWeights:
    generator = torch.Generator().manual_seed(0)
    groups, members = split(codewords)

    def draw(limit: int, *shape: int) -> torch.Tensor:
        return torch.randint(-limit, limit + 1, shape, generator=generator, dtype=torch.int32)

    def rest(rows: int, hidden: int) -> dict[str, torch.Tensor]:
        return {
            "w2": draw(60, rows, hidden, hidden),
            "b2": draw(2000, rows, hidden),
            "wg": draw(60, rows, groups, hidden),
            "bg": draw(2000, rows, groups),
            "w3": draw(60, rows, hidden, hidden),
            "e3": draw(2000, rows, groups, hidden),
            "wm": draw(60, rows, groups, members, hidden),
            "bm": draw(2000, rows, groups, members),
        }

    rows = stages - 1
    weights = {
        "embedding": draw(127, stages, codewords, channels),
        "w1": draw(60, rows, hidden, 9 * channels),
        "v1": draw(60, rows, hidden, 4 * channels),
        "b1": draw(2000, rows, 2, hidden),
        **rest(rows, hidden),
        "first_embedding": draw(127, 1, codewords, 6),
        "first_v1": draw(60, 4, 2 * hidden, 12 * 6),
        "first_b1": draw(2000, 5, 2 * hidden),
    }
    weights |= {f"first_{name}": tensor for name, tensor in rest(1, 2 * hidden).items()}
    return ContextWeights(**weights)


@pytest.mark.parametrize("kind", ["photograph", "random"])
def test_does_not_depend_on_threads_kernels_or_precision(codec, kind):
    planes = planes_of(kind, codec)
    model = model_of(codec)
    wanted = walk(model, planes)
    threads = torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            assert_same(walk(model, planes), wanted)
        torch.set_float32_matmul_precision("medium")
        assert_same(walk(model, planes), wanted)
        with torch.backends.mkldnn.flags(enabled=False):
            assert_same(walk(model, planes), wanted)
        double = ContextModel(model.weights)
        double._bytes = None
        double.factors = {name: factor.double() for name, factor in double.factors.items()}
        torch.set_default_dtype(torch.float64)
        assert_same(walk(double, planes), wanted)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        torch.set_num_threads(threads)


def test_does_not_depend_on_which_tiles_are_computed_together(codec):
    planes = planes_of("photograph", codec, 3)
    together = walk(model_of(codec), planes[[2, 0, 1]])
    for slot, tile in enumerate((2, 0, 1)):
        for all_tiles, alone in zip(together, walk(model_of(codec), planes[tile : tile + 1]), strict=True):
            np.testing.assert_array_equal(all_tiles.reshape(3, -1, all_tiles.shape[1])[slot], alone)


def test_products_stay_exact_in_float32(codec):
    """No sum of products can reach 2**24, the largest range in which float32 holds every integer."""
    tensors = model_of(codec).weights.tensors()
    # Every row of a matrix makes a sum; w1 and v1 add up to one.
    sums = {name: int(tensors[name].abs().sum(-1).amax()) for name in set(EIGHT_BIT) & set(tensors)}
    assert sums["w1"] + sums["v1"] < (1 << 24) // 127
    assert max(sums.values()) < (1 << 24) // 127


def test_frequencies_are_positive_and_complete(codec):
    for kind in ("photograph", "zeros", "last", "random"):
        for table in walk(model_of(codec), planes_of(kind, codec)):
            assert table.min() >= 1
            assert set(table.sum(1)) == {65536}


def assert_same(got: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for left, right in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(left, right)
