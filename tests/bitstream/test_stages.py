"""Stages of all kinds, each with its check: the base, layers of both scales, and positions that have ended."""

import zlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitstream import Header, plane_check, read, write
from tests.bitstream import second_reader
from tests.bitstream.order0 import (
    BASE,
    Stage,
    assert_same,
    decode,
    encode,
    random_planes,
    random_stages,
)


@st.composite
def layouts(draw):
    """Scale, size of the alphabet, and the stage that ends positions, of each of up to five stages."""
    stages = [(BASE, draw(st.integers(2, 300)), -1)] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0 if stages else 1, 4))):
        scale = draw(st.sampled_from([1, 2]))
        earlier = [number for number, stage in enumerate(stages) if stage[0] == scale]
        stages.append((scale, draw(st.integers(2, 40)), draw(st.sampled_from([-1, *earlier]))))
    return stages


@settings(deadline=None)
@given(layouts(), st.integers(1, 90), st.integers(1, 90), st.integers(0, 255), st.integers(0, 99))
def test_stages_of_all_kinds_come_back_and_a_second_reader_agrees(layout, width, height, rate, seed):
    rng = np.random.default_rng(seed)
    header = Header(width, height, b"abcd", len(layout), rate, downsample_log2=3, tile_log2=2)
    stages = random_stages(rng, layout)
    planes = random_planes(rng, header, stages)
    data = write(header, encode(header, planes, stages))
    container = read(data)
    assert container.header.rate == rate
    for number in range(1, len(stages) + 1):
        assert_same(decode(container, stages[:number]), planes[:number])
    found = second_reader.read(data, [(scale, table.tolist(), before) for scale, table, before in stages])
    assert found["rate"] == rate
    assert_same(found["planes"], planes)


def test_the_check_of_the_base_covers_its_step_and_the_signs_of_its_numbers():
    header = Header(32, 16, b"abcd", stages=1)
    base = np.array([[[7, 7]], [[0, 255]], [[-1, 2]], [[-3, 0]]], np.int16)
    (tile,) = encode(header, [base], [Stage(BASE, np.full(512, 1 << 7))])
    rows = [[7, 7], [0, 255], [0xFFFF, 2], [0xFFFD, 0]]
    assert tile.checks == (plane_check(np.array(rows)),)
    assert tile.checks == (zlib.crc32(np.array(rows, "<u2").tobytes()) & 0xFFFF,)
    payload = read(write(header, [tile])).payload
    assert payload.check_plane(0, 0, np.array(rows, np.uint16))
    for wrong in ([[8, 8], *rows[1:]], [rows[0], rows[1], [1, 2], rows[3]], [*rows[:2], rows[3], rows[2]]):
        assert not payload.check_plane(0, 0, np.array(wrong, np.uint16))


def test_ended_positions_cost_nothing_and_are_checked_as_index_0():
    header = Header(32, 32, b"abcd", stages=3)
    even = np.full(4, 1 << 14)
    stages = [Stage(1, even), Stage(1, even, 0), Stage(2, even)]
    fine = np.arange(16, dtype=np.uint16).reshape(4, 4) % 4
    ended = np.zeros((2, 2), np.uint16)
    planes = [ended, ended, fine]
    (tile,) = encode(header, planes, stages)
    assert tile.slices[1] == b""
    assert tile.checks[1] == tile.checks[0] == zlib.crc32(bytes(8)) & 0xFFFF
    data = write(header, [tile])
    assert_same(decode(read(data), stages), planes)
    assert not read(data).payload.check_plane(0, 1, np.array([[0, 0], [0, 1]], np.uint16))
