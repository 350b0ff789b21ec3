"""Planes survive their coders, and damage to their streams is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bitstream import IndexMismatch, TileReader, TileStream
from tests.entropy.models import FINE, LAYERS, SINGLE, random_planes, random_tables, random_weights
from vqcodec.codec import default_codec
from vqcodec.config import Layer
from vqcodec.entropy.base import BaseCoder
from vqcodec.entropy.coders import ContextCoder, IndexCoder, TableCoder, going_on
from vqcodec.entropy.context import ContextModel
from vqcodec.weights import frequencies, load_model

DATA = Path(__file__).parents[1] / "data"
KINDS = [(LAYERS, True), (LAYERS, False), (LAYERS[:2], True), (FINE, True), (SINGLE, False)]


def coders(layers: tuple[Layer, ...], has_base: bool) -> list[IndexCoder]:
    base = BaseCoder(random_tables()) if has_base else None
    rng = np.random.default_rng(0)
    tables = [frequencies(rng.exponential(size=layer.codebook_size) ** 2) for layer in layers]
    return [
        TableCoder(tables, layers, base),
        ContextCoder(ContextModel(random_weights(layers, has_base), layers, has_base), base),
    ]


def readers(streams: list[TileStream]) -> list[TileReader]:
    return [TileReader(number, stream.slices, stream.checks) for number, stream in enumerate(streams)]


@pytest.mark.parametrize(("layers", "has_base"), KINDS)
@pytest.mark.parametrize("which", [0, 1], ids=["tables", "context model"])
@settings(max_examples=15, deadline=None)
@given(
    grids=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6),
    rate=st.integers(0, 255),
)
def test_tiles_of_any_size_come_back(layers, has_base, which, grids, rate):
    coder = coders(layers, has_base)[which]
    rate = rate if has_base else 0
    tiles = [random_planes(layers, has_base, grid, seed, rate) for seed, grid in enumerate(grids)]
    streams = coder.write(tiles)
    assert coder.read(readers(streams), grids, rate) == tiles


@pytest.mark.parametrize(("layers", "has_base"), KINDS)
@pytest.mark.parametrize("which", [0, 1], ids=["tables", "context model"])
def test_bits_are_those_of_the_stream(layers, has_base, which):
    coder = coders(layers, has_base)[which]
    tile = random_planes(layers, has_base, (20, 23))
    (stream,) = coder.write([tile])
    bits = coder.bits(tile)
    for number, (plane, cost) in enumerate(zip(tile.layers, bits, strict=True)):
        assert cost.shape == plane.shape
        alive = going_on(layers, tile.layers[:number], plane.shape)
        assert (cost[alive] > 0).all()
        assert not cost[~alive].any()
        assert len(stream.slices[number + has_base]) == pytest.approx(cost.sum() / 8, abs=9)


@pytest.mark.parametrize("which", [0, 1], ids=["tables", "context model"])
def test_fewer_stages_are_the_first_ones(which):
    coder = coders(LAYERS, True)[which]
    tile = random_planes(LAYERS, True, (6, 7))
    (stream,) = coder.write([tile])
    for stages in range(1, len(LAYERS) + 2):
        reader = TileReader(0, stream.slices[:stages], stream.checks[:stages])
        (read,) = coder.read([reader], [(6, 7)], tile.rate)
        assert read == replace(tile, layers=tile.layers[: stages - 1])


@pytest.mark.parametrize(("layers", "has_base"), [(LAYERS, True), (SINGLE, False)])
@pytest.mark.parametrize("which", [0, 1], ids=["tables", "context model"])
@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(1, 255), data=st.data())
def test_a_changed_byte_is_noticed(layers, has_base, which, place, value, data):
    coder = coders(layers, has_base)[which]
    tile = random_planes(layers, has_base, (8, 9))
    (stream,) = coder.write([tile])
    slices = [bytearray(part) for part in stream.slices]
    stage = data.draw(st.integers(0, len(slices) - 1))
    if not slices[stage]:
        return
    slices[stage][int(place * len(slices[stage]))] ^= value
    reader = TileReader(0, [bytes(part) for part in slices], stream.checks)
    try:
        read = coder.read([reader], [(8, 9)], tile.rate)
    except IndexMismatch as error:
        # The last bytes of a slice may matter to the next one alone.
        assert error.stage <= stage + 1  # noqa: PT017 - most bytes matter, but not all
        return
    assert read == [tile]


@pytest.mark.parametrize(("layers", "has_base"), KINDS)
@pytest.mark.parametrize("which", [0, 1], ids=["tables", "context model"])
def test_bytes_of_nothing_are_refused(layers, has_base, which):
    """Any bytes decode to some indices, but not to those of the checks."""
    coder = coders(layers, has_base)[which]
    (stream,) = coder.write([random_planes(layers, has_base, (8, 9))])
    rng = np.random.default_rng(0)
    for _ in range(8):
        reader = TileReader(0, [rng.bytes(len(part)) for part in stream.slices], stream.checks)
        with pytest.raises(IndexMismatch) as caught:
            coder.read([reader], [(8, 9)], 100 if has_base else 0)
        assert caught.value.stage == 0


@pytest.mark.parametrize("which", [0, 1], ids=["tables", "context model"])
def test_layers_of_ended_positions_are_empty(which):
    coder = coders(LAYERS, True)[which]
    tile = random_planes(LAYERS, True, (8, 9))
    for plane in tile.layers:
        plane[:] = 0
    (stream,) = coder.write([tile])
    bits = coder.bits(tile)
    for number, layer in enumerate(LAYERS):
        if layer.stage:
            assert not bits[number].any()
            assert len(stream.slices[1 + number]) <= 1
    assert coder.read(readers([stream]), [(8, 9)], tile.rate) == [tile]


def test_autocast_of_a_caller_changes_no_file():
    codec = default_codec()
    picture = Image.open(DATA / "temple.jpg").crop((0, 0, 100, 60))
    planes = codec.encode(picture, 70)
    data = codec.packing.pack(planes, picture.size)
    with torch.autocast("cpu", torch.bfloat16):
        assert codec.packing.pack(planes, picture.size) == data
        assert codec.packing.unpack(data) == planes


@pytest.mark.parametrize("quality", [10, 60])
def test_the_context_model_saves_bits(quality):
    file = load_model()
    codec = default_codec()
    planes = codec.encode(Image.open(DATA / "temple.jpg"), quality)
    plain = TableCoder(file.tables, codec.config.layers, codec.packing.base)
    with_tables = sum(float(bits.sum()) for bits in plain.bits(planes))
    assert sum(float(bits.sum()) for bits in codec.packing.bits(planes)) < 0.97 * with_tables


def test_rates_of_base_and_indices_are_those_of_the_file():
    codec = default_codec()
    plain = Image.open(DATA / "temple.jpg").convert("RGB").resize((1500, 200))
    # One tile is flat, and has a finer base than the others.
    plain.paste((200, 30, 60), (0, 0, 1100, 200))
    planes = codec.encode(plain, 40)
    assert len(np.unique(planes.steps)) > 1
    bits = sum(float(bits.sum()) for bits in codec.packing.bits(planes)) + codec.packing.base_bits(planes)
    assert bits / 8 == pytest.approx(len(codec.packing.pack(planes, plain.size)), abs=150)
