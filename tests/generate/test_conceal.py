"""Damaged tiles: an error without the flag; with it, a picture whose other tiles are what they were."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitstream
from benchmarks.studies.conceal import destroyed, fills, in_tiles
from tests.cli.test_main import run
from tests.support.planes import differs
from vqcodec.codec import Codec, default_codec
from vqcodec.entropy.excerpt import read_damaged
from vqcodec.errors import ConcealedWarning
from vqcodec.evaluation.metrics import Scorer
from vqcodec.generate.conceal import conceal
from vqcodec.planes import Planes

DATA = Path(__file__).parents[1] / "data"
SIDE = 128  # pixels along a tile, 8 positions


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


@pytest.fixture(scope="module")
def image() -> Image.Image:
    """5 x 2 tiles, of which those on the right and at the bottom are smaller."""
    with Image.open(DATA / "temple.jpg") as photograph:
        return photograph.convert("RGB").resize((600, 200), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def data(codec: Codec, image: Image.Image) -> bytes:
    return in_tiles(codec, image, 50, 3)


def planes_of(codec: Codec, data: bytes) -> Planes:
    excerpt = read_damaged(bitstream.salvage(data), codec.packing.coder, codec.config)
    conceal(codec.prior, excerpt)
    return excerpt.planes


def test_only_the_damaged_tile_is_made_up(codec: Codec, data: bytes) -> None:
    damaged = destroyed(data, 0)
    with pytest.raises(bitstream.CorruptChunk):
        codec.decompress(damaged)
    whole, planes = codec.unpack(data), planes_of(codec, damaged)
    changed = differs(planes, whole)
    tile = np.zeros(whole.grid, bool)
    tile[:8, :8] = True
    assert not changed[:, ~tile].any()
    assert changed[0, tile].any()

    expected = np.asarray(codec.decompress(data), np.int16)
    with pytest.warns(ConcealedWarning, match=r"tile 0 \(128x128 pixels at 0,0\): all of it made up"):
        picture = np.asarray(codec.decompress(damaged, conceal=True), np.int16)
    changed = np.argwhere((picture != expected).any(2))
    reach = SIDE + 16 * codec.config.halo
    if not codec.config.blends:
        assert changed.max(0)[1] < reach < 600
    assert np.array_equal(picture[:, :SIDE], np.asarray(codec.decode(planes, (600, 200)), np.int16)[:, :SIDE])


def test_it_is_made_up_the_same_way_each_time(codec: Codec, data: bytes) -> None:
    damaged = destroyed(data, 3)
    assert planes_of(codec, damaged) == planes_of(codec, damaged)


def test_stages_before_the_damage_are_kept(codec: Codec, image: Image.Image) -> None:
    data = in_tiles(codec, image, 75, 3)
    whole, planes = codec.unpack(data), planes_of(codec, destroyed(data, 2, stage=2))
    changed = differs(planes, whole)
    assert not changed[:2].any()
    assert changed[2:, :8, 16:24].any()
    outside = np.ones(whole.grid, bool)
    outside[:8, 16:24] = False
    assert not changed[:, outside].any()


def test_tiles_that_touch_and_tiles_that_do_not(codec: Codec, data: bytes) -> None:
    damaged = data
    for tile, stage in ((0, 0), (6, 1), (4, 0)):
        damaged = destroyed(damaged, tile, stage, data)
    with pytest.warns(ConcealedWarning) as caught:
        codec.decompress(damaged, conceal=True)
    assert str(caught[0].message) == (
        "damaged: the checksum of chunk P is wrong; tile 0 (128x128 pixels at 0,0): all of it made up; "
        "tile 4 (96x128 pixels at 512,0): all of it made up; "
        "tile 6 (128x80 pixels at 128,128): its stages from 2 on made up"
    )
    planes, whole = planes_of(codec, damaged), codec.unpack(data)
    changed = differs(planes, whole)
    assert not changed[:, :8, 8:32].any()
    assert not changed[:, 8:, 16:].any()
    assert not changed[0, 8:, 8:16].any()


def test_a_part_of_a_damaged_picture(codec: Codec, data: bytes) -> None:
    damaged = destroyed(data, 0)
    with pytest.warns(ConcealedWarning, match="the checksum of chunk P is wrong$"):
        far = codec.decompress(damaged, conceal=True, region=(520, 0, 80, 60))
    assert np.array_equal(far, codec.decompress(data, region=(520, 0, 80, 60)))
    with pytest.warns(ConcealedWarning, match="tile 0"):
        assert codec.decompress(damaged, conceal=True, region=(0, 0, 100, 50)).size == (100, 50)


def test_an_intact_file_is_shown_as_ever(codec: Codec, data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(codec.decompress(data, conceal=True), codec.decompress(data))


def test_a_truncated_file_is_completed(codec: Codec, data: bytes) -> None:
    container = bitstream.read(data)
    header = container.header
    stages = [
        [len(container.payload.slice(tile, stage)) for tile in range(10)] for stage in range(header.stages)
    ]
    # Inside the second stage of the fifth tile.
    cut = data[: len(data) - 4 - sum(map(sum, stages[2:])) - sum(stages[1][4:]) + stages[1][4] // 2]
    whole = codec.unpack(data)
    with pytest.warns(
        ConcealedWarning, match=r"cut short \(missing bytes: \d+\); tile 4 .*stages from 2 on made up"
    ):
        codec.decompress(cut, conceal=True)
    planes = planes_of(codec, cut)
    assert planes.stages == 2
    changed = differs(planes, whole)
    assert not changed[0].any()
    assert not changed[1, :8, :32].any()


def test_nothing_can_be_made_of_nothing(codec: Codec, image: Image.Image) -> None:
    data = codec.compress(image)
    with pytest.raises(bitstream.IndexMismatch):
        codec.decompress(destroyed(data, 0), conceal=True)
    with pytest.raises(bitstream.BitstreamError):
        codec.decompress(bytes([data[0] ^ 1]) + data[1:], conceal=True)


def test_damage_anywhere_gives_a_picture_or_an_error(codec: Codec, data: bytes) -> None:
    """Bytes of index and slices are changed at random; what is taken for intact is what was encoded."""
    rng = np.random.default_rng(0)
    payload = next(chunk for chunk in bitstream.read(data).chunks if chunk.name == "P")
    start, whole, shown = payload.offset + 4, codec.unpack(data), 0
    for _ in range(20):
        damaged = bytearray(data)
        for place in rng.integers(start, len(data), rng.integers(1, 4)):
            damaged[place] ^= rng.integers(1, 256)
        try:
            excerpt = read_damaged(bitstream.salvage(damaged), codec.packing.coder, codec.config)
        except bitstream.BitstreamError:
            continue
        shown += 1
        conceal(codec.prior, excerpt)
        excerpt.planes.check(codec.config)
        intact = np.ones((excerpt.planes.stages, *excerpt.planes.grid), bool)
        for tile in excerpt.damaged:
            intact[tile.intact :, tile.box.top : tile.box.bottom, tile.box.left : tile.box.right] = False
        assert not differs(excerpt.planes, whole)[intact].any()
    assert shown > 10


def test_damaged_alpha_is_left_out_and_named(codec: Codec, photo: Image.Image) -> None:
    transparent = photo.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(photo.size))
    data = bytearray(codec.compress(transparent))
    chunk = next(chunk for chunk in bitstream.read(data).chunks if chunk.name == "A")
    data[chunk.offset + 20] ^= 1
    with pytest.warns(ConcealedWarning, match="the checksum of chunk A is wrong"):
        picture = codec.decompress(bytes(data), conceal=True)
    assert np.array_equal(picture, codec.decompress(codec.compress(photo)))


def test_the_command_needs_the_flag_and_names_the_tile(
    codec: Codec, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    source, target = tmp_path / "photo.vqc", tmp_path / "photo.png"
    source.write_bytes(destroyed(data, 1))
    assert run("decompress", source) == 4
    assert not target.exists()
    assert run("decompress", source, "--conceal", "--json") == 4
    said = capsys.readouterr()
    assert "photo.vqc: warning: damaged: " in said.err
    assert "tile 1 (128x128 pixels at 128,0): all of it made up" in said.err
    assert json.loads(said.out.splitlines()[-1])["width"] == 600
    with Image.open(target) as picture:
        assert picture.size == (600, 200)


def test_a_concealed_tile_is_nearer_than_a_mean_colour(codec: Codec) -> None:
    scorer = Scorer(["st-lpips-alex"])
    for path in sorted(DATA.glob("*.jpg")):
        with Image.open(path) as photograph:
            image = photograph.convert("RGB").resize((384, 384), Image.Resampling.LANCZOS)
        box, pictures = fills(codec, image, 3)
        reference = scorer.reference(image.crop(box))
        distances = {
            name: scorer.score(reference, picture.crop(box))["st-lpips-alex"]
            for name, picture in pictures.items()
        }
        assert distances["intact"] < distances["concealed"] < 0.9 * distances["mean colour"], path.name
