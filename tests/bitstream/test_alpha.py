import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitstream import CorruptChunk, alpha
from bitstream.alpha import pack_alpha, unpack_alpha

planes = arrays(
    np.uint8,
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    elements=st.sampled_from([0, 1, 127, 254, 255]),
    fill=st.integers(0, 255),
)


def unpack(body, shape, y=0, rows=None):
    return unpack_alpha(memoryview(body), shape[1], shape[0], y, shape[0] if rows is None else rows)


@given(planes)
def test_round_trip(plane):
    np.testing.assert_array_equal(unpack(pack_alpha(plane), plane.shape), plane)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (37, 53)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_constant_alpha_takes_two_bytes(shape, value):
    plane = np.full(shape, value, np.uint8)
    body = pack_alpha(plane)
    assert body == bytes([0, value])
    np.testing.assert_array_equal(unpack(body, shape), plane)


@pytest.mark.parametrize("method", range(4))
@given(planes)
def test_every_method_decodes(method, plane):
    body = bytes([1 + method]) + alpha._compress(alpha._differences(plane, method))
    np.testing.assert_array_equal(unpack(body, plane.shape), plane)


def test_method_is_chosen_by_size():
    ramp = np.add.outer(np.arange(100), 2 * np.arange(120)).astype(np.uint8)
    sprinkled = (np.random.default_rng(0).random((100, 120)) < 0.1).astype(np.uint8)
    for plane, methods in ((ramp, {4}), (sprinkled, {1})):
        body = pack_alpha(plane)
        assert body[0] in methods
        assert len(body) == 1 + min(len(alpha._compress(alpha._differences(plane, m))) for m in range(4))


@given(planes, st.data(), st.integers(1, 200))
def test_some_rows_decoded_strip_by_strip(plane, data, strip):
    y = data.draw(st.integers(0, len(plane) - 1))
    rows = data.draw(st.integers(1, len(plane) - y))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alpha, "_STRIP", strip)
        np.testing.assert_array_equal(unpack(pack_alpha(plane), plane.shape, y, rows), plane[y : y + rows])


def test_plane_larger_than_the_sample_for_choosing_a_predictor():
    plane = np.tile(np.arange(1500, dtype=np.uint8), (1100, 1))
    body = pack_alpha(plane)
    assert len(body) < 2000
    np.testing.assert_array_equal(unpack(body, plane.shape), plane)


def test_rows_outside_the_plane_are_refused():
    with pytest.raises(ValueError, match="rows 3 to 5 of 5"):
        unpack(b"\0\0", (5, 5), 3, 3)


def test_memory_is_what_is_there_not_what_the_header_claims():
    body = pack_alpha(np.arange(100, dtype=np.uint8)[None])
    tracemalloc.start()
    try:
        with pytest.raises(CorruptChunk):
            unpack(body, (1 << 20, 1 << 12))
        assert unpack(b"\0\xff", (1 << 20, 1 << 12)).shape == (1 << 20, 1 << 12)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=60))
def test_any_body_is_a_plane_or_an_error(body):
    try:
        plane = unpack(body, (7, 5))
    except CorruptChunk:
        return
    assert plane.shape == (7, 5)
    assert plane.dtype == np.uint8
