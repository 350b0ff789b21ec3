"""Odd sizes, kills at random moments, memory for large pictures and after many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vqcodec.codec import default_codec

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[1] / "data"

SIZES = [(1, 1), (1, 5000), (5000, 1), (16, 16), (17, 15), (127, 131), (1009, 13), (16385, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_back(photo: Image.Image, size: tuple[int, int]) -> None:
    codec = default_codec()
    image = photo.resize(size)
    image.putalpha(photo.convert("L").resize(size))
    back = codec.decompress(codec.compress(image))
    assert (back.size, back.mode) == (size, "RGBA")
    assert back.getchannel("A").tobytes() == image.getchannel("A").tobytes()
    # The picture is the one that was compressed: its mean colour survives any rate.
    means = [np.asarray(picture.convert("RGB"), float).mean((0, 1)) for picture in (image, back)]
    assert np.abs(means[0] - means[1]).max() < 40


def test_even_the_smallest_file_is_small(photo: Image.Image) -> None:
    assert len(default_codec().compress(photo.resize((1, 1)))) < 100


# --- kills ----------------------------------------------------------------------------------------------


def killing(directory: Path, count: int) -> None:
    command = [sys.executable, "-m", "tests.cli.killing", directory, str(count)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("finished\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_kills_leave_no_partial_file(tmp_path: Path) -> None:
    killing(tmp_path, 30)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_two_hundred_kills_leave_no_partial_file(tmp_path: Path) -> None:
    killing(tmp_path, 200)


# --- memory ---------------------------------------------------------------------------------------------

# Prints peak and growth in MB of a process that does the round trips that it is told.
ROUND_TRIPS = """
import json, sys
from PIL import Image
from vqcodec.codec import Codec
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6
codec = Codec.load()
with Image.open(sys.argv[1]) as image:
    images = [image.convert(mode).resize((48, 40 + 16 * number))
              for number, mode in enumerate(("RGB", "RGBA", "L"))]
for trip in range(int(sys.argv[2])):
    image = images[trip % 3]
    image.info["icc_profile"] = bytes(1000)
    codec.decompress(codec.compress(image, quality=trip % 101))
    if trip == 200:
        before = resident()
print(json.dumps(resident() - before))
"""


def growth(trips: int) -> float:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ROUND_TRIPS, DATA / "cat.jpg", str(trips)]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks the system for its memory")
def test_round_trips_take_no_memory_with_them() -> None:
    assert growth(500) < 10


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks the system for its memory")
def test_ten_thousand_round_trips_take_no_memory_with_them() -> None:
    assert growth(10_000) < 10


def peak(*arguments: str | Path) -> float:
    """Largest memory of a command in GB."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-m", "vqcodec", *map(str, arguments)], env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_maxrss / 1e6


def mosaic(path: Path, width: int, height: int) -> None:
    with Image.open(DATA / "temple.jpg") as image:
        image.load()
    large = Image.new("RGB", (width, height))
    for top in range(0, height, image.height):
        for left in range(0, width, image.width):
            large.paste(image, (left, top))
    large.save(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted otherwise elsewhere")
@pytest.mark.parametrize(
    ("width", "height", "limit"),
    [
        pytest.param(4000, 3000, 1.0, id="12 megapixels in 1 GB", marks=pytest.mark.slow),
        pytest.param(12000, 8400, 2.0, id="100 megapixels in 2 GB", marks=pytest.mark.slow),
    ],
)
def test_memory_is_bounded(tmp_path: Path, width: int, height: int, limit: float) -> None:
    mosaic(tmp_path / "large.jpg", width, height)
    assert peak("compress", tmp_path / "large.jpg", "--quiet") < limit
    assert peak("decompress", tmp_path / "large.vqc", "--quiet") < limit
    with Image.open(tmp_path / "large.png") as image:
        assert image.size == (width, height)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted otherwise elsewhere")
def test_a_region_takes_no_memory_for_the_rest(tmp_path: Path) -> None:
    Image.new("L", (8192, 4880), 100).save(tmp_path / "plain.png")
    assert peak("compress", tmp_path / "plain.png", "-q", "0", "--quiet") < 1.0
    region = "4000,2000,800,800"
    assert peak("decompress", tmp_path / "plain.vqc", "-o", tmp_path / "part.png", "--region", region) < 0.6
