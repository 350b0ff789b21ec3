import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitstream import LimitExceeded, Metadata
from bitstream.metadata import MAX_METADATA, read_metadata

values = st.none() | st.binary(max_size=50) | st.binary(max_size=9).map(lambda part: part * 60)


def through_bodies(metadata):
    return read_metadata({tag: memoryview(body) for tag, body in metadata.bodies()})


@given(values, values, values)
def test_round_trip(icc, exif, xmp):
    metadata = Metadata(icc, exif, xmp)
    assert through_bodies(metadata) == metadata


def test_what_is_absent_costs_nothing_and_what_does_not_deflate_costs_one_byte():
    assert Metadata().bodies() == []
    assert Metadata(icc=b"abc", xmp=b"").bodies() == [(b"i", b"\0abc"), (b"x", b"\0")]


def test_text_is_deflated():
    [(tag, body)] = Metadata(xmp=b"<rdf:li/>" * 100).bodies()
    assert tag == b"x"
    assert body[0] == 1
    assert len(body) < 30


def test_largest_metadata():
    assert through_bodies(Metadata(exif=bytes(MAX_METADATA))) == Metadata(exif=bytes(MAX_METADATA))
    with pytest.raises(LimitExceeded):
        Metadata(exif=bytes(MAX_METADATA + 1)).bodies()
    with pytest.raises(LimitExceeded):
        read_metadata({b"e": memoryview(bytes(MAX_METADATA + 2))})
