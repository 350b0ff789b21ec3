"""The base of a picture survives its coder exactly, and takes few bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bitstream import IndexMismatch, TileReader, TileWriter
from bitstream.entropy import SymbolDecoder
from tests.entropy.models import random_tables
from vqcodec.codec import default_codec
from vqcodec.entropy.base import (
    ALPHABET,
    ESCAPE,
    LARGEST,
    BaseCoder,
    check_plane,
    choose_steps,
    count,
    quantized,
)
from vqcodec.runtime.pixels import base_colours, block_means

DATA = Path(__file__).parents[1] / "data"


def means_of(name: str) -> np.ndarray:
    return block_means(np.asarray(Image.open(DATA / name).convert("RGB")))


def random_base(rows: int, columns: int, step: int, seed: int, smooth: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    luma, chroma = round(255 / step), round(127 / step)
    if smooth:
        walk = rng.integers(-1, 2, (3, rows, columns)).cumsum(1).cumsum(2)
        limits = np.array([[0, luma], [-chroma, chroma], [-chroma, chroma]])[:, :, None, None]
        return np.clip(walk + np.array([luma // 2, 0, 0])[:, None, None], limits[:, 0], limits[:, 1])
    chromas = rng.integers(-chroma, chroma + 1, (2, rows, columns))
    return np.concatenate([rng.integers(0, luma + 1, (1, rows, columns)), chromas])


def written(coder: BaseCoder, bases: list[np.ndarray], steps: list[int]) -> list[TileReader]:
    writers = [TileWriter() for _ in bases]
    coder.write(writers, bases, steps)
    streams = [writer.finish() for writer in writers]
    return [TileReader(number, stream.slices, stream.checks) for number, stream in enumerate(streams)]


tiles = st.tuples(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 255), st.integers(0, 99), st.booleans()
)


@settings(max_examples=60, deadline=None)
@given(st.lists(tiles, min_size=1, max_size=5))
def test_any_base_comes_back(shapes):
    coder = BaseCoder(random_tables())
    bases, steps = [random_base(*shape) for shape in shapes], [shape[2] for shape in shapes]
    found = coder.read(written(coder, bases, steps), [shape[:2] for shape in shapes])
    for (base, step), wanted, shape in zip(found, bases, shapes, strict=True):
        np.testing.assert_array_equal(base, wanted)
        assert base.dtype == np.int16
        assert step == shape[2]


def reference(data: bytes, tables: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, int]:
    """Decode the base of a tile one value after another, written from the description of the format."""
    decoder = SymbolDecoder(data)
    step = int(decoder.decode(np.full(256, 256), 1)[0])
    values = np.zeros((3, rows, columns), int)
    errors = np.zeros((3, rows, columns), int)
    for wave in range(rows + columns + 1):
        places = [(p, y, wave - p - y) for p in range(3) for y in range(rows) if 0 <= wave - p - y < columns]
        expected, rows_of_tables = [], []
        for plane, y, x in places:
            if y == 0 and x == 0:
                west = north = corner = 0 if plane else (128 + step // 2) // step
            elif y == 0:
                west = north = corner = values[plane, y, x - 1]
            elif x == 0:
                west = north = corner = values[plane, y - 1, x]
            else:
                west, north = values[plane, y, x - 1], values[plane, y - 1, x]
                corner = values[plane, y - 1, x - 1]
            guess = west + north - corner
            expected.append(min(max(guess, min(west, north)), max(west, north)))
            activity = abs(west - corner) + abs(north - corner)
            near = (abs(errors[plane, y, x - 1]) if x else 0) + (abs(errors[plane, y - 1, x]) if y else 0)
            before = sum(abs(errors[earlier, y, x]) for earlier in range(plane))
            context = sum(activity >= limit for limit in (1, 2, 3, 5, 8, 13, 21))
            context = 5 * context + sum(near >= limit for limit in (1, 2, 4, 8))
            rows_of_tables.append((plane, 4 * context + sum(before >= limit for limit in (1, 2, 4))))
        symbols = decoder.decode(np.array([tables[row] for row in rows_of_tables], np.int64))
        escaped = np.flatnonzero(symbols == ESCAPE)
        rest = iter(decoder.decode(np.full(512, 128), len(escaped)) if len(escaped) else ())
        for place, guess, symbol in zip(places, expected, symbols, strict=True):
            left = int(symbol) - LARGEST
            if symbol == ESCAPE:
                code = int(next(rest))
                left = (code // 2 + LARGEST + 1) * (-1 if code % 2 else 1)
            errors[place] = left
            values[place] = guess + left
    return values, step


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(9, 13), (1, 6), (5, 1)])
def test_a_plain_decoder_agrees(rows, columns, smooth):
    tables = random_tables()
    base = random_base(rows, columns, 2, 3, smooth)
    writer = TileWriter()
    BaseCoder(tables).write([writer], [base], [2])
    found, step = reference(writer.finish().slices[0], tables, rows, columns)
    np.testing.assert_array_equal(found, base)
    assert step == 2


def test_damage_is_noticed():
    coder = BaseCoder(random_tables())
    base = random_base(8, 9, 1, 0, False)
    writer = TileWriter()
    coder.write([writer], [base], [1])
    stream = writer.finish()
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(stream.slices[0])
        data[rng.integers(len(data) - 8)] ^= int(rng.integers(1, 256))
        with pytest.raises(IndexMismatch):
            coder.read([TileReader(0, [bytes(data)], stream.checks)], [(8, 9)])


def test_values_that_no_picture_has_are_refused_even_under_a_fitting_check():
    coder = BaseCoder(random_tables())
    base = np.zeros((3, 4, 4), np.int16)
    base[0, 2, 2] = -1
    with pytest.raises(IndexMismatch, match="values that no picture has"):
        coder.read(written(coder, [base], [4]), [(4, 4)])


def test_a_step_of_zero_is_refused():
    coder = BaseCoder(random_tables())
    writer = TileWriter()
    writer.encode(np.array([0]), np.full(256, 256))
    writer.end_stage(np.zeros((7, 2), int))
    stream = writer.finish()
    with pytest.raises(IndexMismatch, match="step of the base is 0"):
        coder.read([TileReader(0, stream.slices, stream.checks)], [(2, 2)])


def test_the_check_covers_step_and_planes():
    base = np.array([[[1]], [[-1]], [[2]]], np.int16)
    assert check_plane(base, 7).tolist() == [[7], [1], [65535], [2]]


@pytest.mark.parametrize("name", ["temple.jpg", "cat.jpg", "coffee.jpg"])
@pytest.mark.parametrize(("step", "most"), [(20, 4.5), (8, 7.0), (4, 9.0)])
def test_bits_are_few_and_those_of_the_stream(name, step, most):
    coder = default_codec().packing.base
    base = quantized(means_of(name)[:, :64, :64], step)
    writer = TileWriter()
    coder.write([writer], [base], [step])
    bits = coder.bits(base, step).sum()
    assert len(writer.finish().slices[0]) == pytest.approx(bits / 8 + 1, abs=2)
    assert bits / base[0].size < most


def test_counts_are_of_all_values():
    base = quantized(means_of("cat.jpg"), 5)
    counts = count(base, 5)
    assert counts.shape[2] == ALPHABET
    assert counts.sum((1, 2)).tolist() == [base[0].size] * 3


def test_plain_pictures_get_the_finest_step_and_photographs_the_usual_one():
    coder = default_codec().packing.base
    flat = np.zeros((3, 100, 70), np.float32)
    flat[0] = 100.4
    base, steps = choose_steps(coder, flat, 20.0, 64, 0.6)
    assert (steps == 1).all()
    assert np.abs(base[0] - 100.4).max() <= 0.5
    _, steps = choose_steps(coder, means_of("temple.jpg"), 20.0, 64, 0.6)
    assert (steps == 20).all()
    both = np.concatenate([means_of("temple.jpg")[:, :16, :16], flat[:, :16, :16]], 2)
    _, steps = choose_steps(coder, both, 20.0, 16, 0.6)
    assert set(steps[:, :16].ravel()) == {20}
    assert set(steps[:, 16:].ravel()) == {1}


def test_a_base_that_is_all_there_is_may_cost_more():
    coder = default_codec().packing.base
    steep = np.zeros((3, 16, 16), np.float32)
    steep[:] = np.linspace(0, 230, 16)
    nowhere, everywhere = np.zeros((16, 16), bool), np.ones((16, 16), bool)
    _, usual = choose_steps(coder, steep, 20.0, 64, 0.6, nowhere)
    _, fine = choose_steps(coder, steep, 20.0, 64, 0.6, everywhere)
    assert (usual > 4).all()
    assert (fine == 1).all()
    # Even then not any price.
    _, noise = choose_steps(coder, means_of("temple.jpg")[:, :16, :16], 20.0, 64, 0.6, everywhere)
    assert (noise > 1).all()


@pytest.mark.parametrize("step", [1, 4, 16])
def test_colours_are_as_near_as_the_step(step):
    pixels = np.asarray(Image.open(DATA / "coffee.jpg").convert("RGB"))
    means = block_means(pixels)
    base = quantized(means, step)
    colours = base_colours(base, np.full(base.shape[1:], step, np.uint8))
    part = pixels[: pixels.shape[0] // 16 * 16, : pixels.shape[1] // 16 * 16].astype(float)
    wanted = part.reshape(part.shape[0] // 16, 16, -1, 16, 3).mean((1, 3))
    off = np.abs(colours[: wanted.shape[0], : wanted.shape[1]] - wanted)
    # Half a step of luma, and of each chroma plane twice that at half its weight.
    assert off.max() <= 2 * step + 1
