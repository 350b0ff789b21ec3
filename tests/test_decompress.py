"""Parts, previews and truncated files: what they show is what the whole picture shows there."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitstream
from vqcodec.codec import Codec, default_codec
from vqcodec.errors import ModelError, TruncatedWarning

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


@pytest.fixture(scope="module")
def large() -> Image.Image:
    """1200 x 1100 pixels: four tiles, three of them incomplete."""
    with Image.open(DATA / "temple.jpg") as image:
        return image.resize((1200, 1100), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def data(codec: Codec, large: Image.Image) -> bytes:
    return codec.compress(large, quality=60)


@pytest.fixture(scope="module")
def whole(codec: Codec, data: bytes) -> np.ndarray:
    return np.asarray(codec.decompress(data), int)


def difference(image: Image.Image, expected: np.ndarray) -> int:
    assert (image.height, image.width) == expected.shape[:2]
    return int(np.abs(np.asarray(image, int) - expected).max())


@pytest.mark.parametrize(
    "region",
    [(0, 0, 1200, 1100), (0, 0, 1, 1), (1199, 1099, 1, 1), (1000, 900, 100, 150), (17, 1001, 333, 37)],
)
def test_a_region_is_cut_out_of_the_picture(
    codec: Codec, data: bytes, whole: np.ndarray, region: tuple[int, int, int, int]
) -> None:
    x, y, width, height = region
    part = codec.decompress(data, region=region)
    tolerance = 30 if codec.config.blends else 1
    assert difference(part, whole[y : y + height, x : x + width]) <= tolerance


def test_a_region_needs_only_its_tiles(codec: Codec, data: bytes, whole: np.ndarray) -> None:
    container = bitstream.read(data)
    # The tile at the bottom right, in the stage that has the most of it.
    slices = [bytes(container.payload.slice(3, stage)) for stage in range(container.header.stages)]
    longest = max(slices, key=len)
    assert data.count(longest) == 1
    damaged = data.replace(longest, longest[:-9] + bytes(byte ^ 0xFF for byte in longest[-9:]))
    part = codec.decompress(damaged, region=(0, 0, 200, 200))
    assert difference(part, whole[:200, :200]) <= (30 if codec.config.blends else 1)
    with pytest.raises(bitstream.IndexMismatch):
        codec.decompress(damaged, region=(1150, 1050, 50, 50))
    with pytest.raises(bitstream.CorruptChunk):
        codec.decompress(damaged)


@pytest.mark.parametrize("region", [(-1, 0, 5, 5), (0, 0, 0, 5), (1199, 0, 2, 1), (0, 1100, 1, 1)])
def test_a_region_outside_the_picture_is_an_error(
    codec: Codec, data: bytes, region: tuple[int, int, int, int]
) -> None:
    with pytest.raises(ValueError, match="is not inside 1200x1100"):
        codec.decompress(data, region=region)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_scaled_preview_is_the_picture_with_squares_averaged(
    codec: Codec, data: bytes, whole: np.ndarray, scale: int
) -> None:
    expected = Image.fromarray(whole.astype(np.uint8)).reduce(scale)
    assert difference(codec.decompress(data, scale=scale), np.asarray(expected, int)) == 0


def test_a_region_of_a_preview(codec: Codec, data: bytes, whole: np.ndarray) -> None:
    part = codec.decompress(data, region=(1000, 900, 101, 99), scale=4)
    expected = Image.fromarray(whole[900:999, 1000:1101].astype(np.uint8)).reduce(4)
    assert difference(part, np.asarray(expected, int)) <= (30 if codec.config.blends else 1)
    with pytest.raises(ValueError, match="multiples of 4"):
        codec.decompress(data, region=(1001, 900, 101, 99), scale=4)


@pytest.mark.parametrize("options", [{"scale": 3}, {"scale": 0}, {"stages": 0}])
def test_previews_that_do_not_exist_are_an_error(codec: Codec, data: bytes, options: dict) -> None:
    with pytest.raises(ValueError, match=r"scale|stages"):
        codec.decompress(data, **options)


def test_more_stages_come_nearer_to_the_picture(codec: Codec, large: Image.Image, data: bytes) -> None:
    original = np.asarray(large, float)
    stages = bitstream.info(data)["stages"]
    errors = [
        np.square(np.asarray(codec.decompress(data, stages=count), float) - original).mean()
        for count in (1, max(1, stages // 2), stages)
    ]
    assert errors == sorted(errors, reverse=True)
    everything = codec.decompress(data, stages=stages + 5)
    assert difference(everything, np.asarray(codec.decompress(data), int)) == 0


def _ends(data: bytes) -> list[int]:
    """Where the slices of each stage end in the file."""
    container = bitstream.read(data)
    header = container.header
    sizes = [
        sum(len(container.payload.slice(tile, stage)) for tile in range(header.tiles))
        for stage in range(header.stages)
    ]
    return [len(data) - 4 - sum(sizes[stage + 1 :]) for stage in range(header.stages)]


def test_a_truncated_file_shows_the_stages_that_are_complete(codec: Codec, data: bytes) -> None:
    ends = _ends(data)
    for stage in range(len(ends) - 1):
        cut = data[: (ends[stage] + ends[stage + 1]) // 2]
        missing = len(data) - len(cut)
        # Stages may take no bytes.
        shown = sum(end <= len(cut) for end in ends)
        with pytest.raises(bitstream.Truncated):
            codec.decompress(cut)
        expected = rf"{missing} bytes are missing\): {shown} of {len(ends)} stages"
        with pytest.warns(TruncatedWarning, match=expected):
            picture = codec.decompress(cut, allow_truncated=True, region=(900, 900, 200, 100))
        coarser = codec.decompress(data, stages=shown, region=(900, 900, 200, 100))
        assert difference(picture, np.asarray(coarser, int)) == 0


def test_tiles_of_which_nothing_is_there_are_grey(codec: Codec, data: bytes) -> None:
    container = bitstream.read(data)
    ends = _ends(data)
    last = len(container.payload.slice(3, 0))
    with pytest.warns(TruncatedWarning, match=r"1 of \d+ stages shown, and nothing of 1 of 4 tiles"):
        picture = codec.decompress(data[: ends[0] - last // 2 - 1], allow_truncated=True)
    pixels = np.asarray(picture)
    assert (pixels[1024:, 1024:] == 128).all()
    assert (
        difference(
            picture.crop((0, 0, 800, 800)), np.asarray(codec.decompress(data, stages=1), int)[:800, :800]
        )
        <= 1
    )


def test_stages_that_are_there_need_no_warning(codec: Codec, data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codec.decompress(data[: _ends(data)[0]], stages=1, allow_truncated=True, region=(0, 0, 9, 9))


def test_a_file_that_ends_before_its_first_stage_is_an_error(codec: Codec, data: bytes) -> None:
    container = bitstream.read(data)
    start = _ends(data)[0] - sum(len(container.payload.slice(tile, 0)) for tile in range(4))
    with pytest.raises(bitstream.Truncated):
        codec.decompress(data[: start + 1], allow_truncated=True)


def _claiming(codec: Codec, width: int, height: int, **fields: int) -> bytes:
    """A file of few bytes that claims a size: all slices are empty."""
    config = codec.config
    values = {
        "stages": 1,
        "downsample_log2": config.downsampling.bit_length() - 1,
        "tile_log2": 8,
    }
    header = bitstream.Header(width, height, codec.model_id, **(values | fields))
    tile = bitstream.TileStream((b"",) * header.stages, (0,) * header.stages)
    return bitstream.write(header, [tile] * header.tiles)


def test_a_claim_of_four_gigapixels_is_refused_before_anything_is_decoded(codec: Codec) -> None:
    data = _claiming(codec, 65536, 65536)
    assert len(data) < 1000
    with pytest.raises(
        bitstream.LimitExceeded, match="65536x65536 pixels are more than the limit of 536870912"
    ):
        codec.decompress(data)
    with pytest.raises(bitstream.LimitExceeded, match="limit of 99"):
        codec.decompress(data, region=(0, 0, 10, 10), max_pixels=99)


@pytest.mark.parametrize("fields", [{"stages": 32}, {"downsample_log2": 5}])
def test_a_header_that_does_not_fit_its_model_is_an_error(codec: Codec, fields: dict[str, int]) -> None:
    with pytest.raises(bitstream.CorruptHeader, match="not those of the model that it names"):
        codec.decompress(_claiming(codec, 64, 64, **fields))


def test_another_model_is_an_error(codec: Codec, data: bytes) -> None:
    header = bitstream.Header(16, 16, b"\1\2\3\4", 1)
    tile = bitstream.TileStream((b"",), (0,))
    with pytest.raises(ModelError, match="made with model 01020304, but the model at hand is"):
        codec.decompress(bitstream.write(header, [tile]))


def test_progress_runs_to_the_end(codec: Codec, large: Image.Image, data: bytes) -> None:
    for work in (
        lambda report: codec.decompress(data, progress=report),
        lambda report: codec.compress(large, progress=report),
    ):
        shares: list[float] = []
        work(shares.append)
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1)
        assert shares[0] > 0
