"""Damaged files through the model: a short run of what `long.py --codec` does for long."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

import bitstream
from bitstream.chunks import pack_chunk
from tests.fuzz import codec as fuzzing
from vqcodec.codec import default_codec


def test_damaged_files_are_errors_of_ours_or_pictures() -> None:
    codec = default_codec()
    files = islice(fuzzing.mutants(codec, seed=1), 600)
    outcomes = Counter(fuzzing.exercise(codec, data, choice) for data, choice in files)
    # The mutations are worth something only if some of them get through.
    wanted = {"picture", "picture with a warning", "ModelError", "IndexMismatch", "OSError"}
    assert wanted <= set(outcomes)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Files whose framing and checksums are right, with anything in their fields and chunks."""
    config = default_codec().config
    head = bitstream.Header(
        draw(st.integers(1, 100)),
        draw(st.integers(1, 100)),
        default_codec().model_id,
        draw(st.integers(1, config.stages)),
        draw(st.integers(0, 255)),
        config.downsampling.bit_length() - 1,
        draw(st.integers(2, 8)),
        grey=draw(st.booleans()),
    )
    packed, slices = head.pack(), st.binary(max_size=60)
    tiles = [
        bitstream.TileStream(
            tuple(draw(slices) for _ in range(head.stages)),
            tuple(draw(st.integers(0, 0xFFFF)) for _ in range(head.stages)),
        )
        for _ in range(head.tiles)
    ]
    whole = bitstream.write(head, tiles)
    tags = st.sampled_from([b"i", b"e", b"x", b"A", b"z", b"Q"])
    bodies = draw(st.lists(st.tuples(tags, st.binary(max_size=40)), max_size=4))
    return packed + b"".join(pack_chunk(packed, tag, body) for tag, body in bodies) + whole[len(packed) :]


@settings(deadline=None, max_examples=60)
@given(files(), st.integers(0, 4))
def test_anything_under_right_checksums_is_an_error_of_ours_or_a_picture(data: bytes, choice: int) -> None:
    fuzzing.exercise(default_codec(), data, choice)
