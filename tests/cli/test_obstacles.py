"""A batch with every kind of obstacle in it: what can be done is done, and every fault has its line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitstream

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="some obstacles are of Linux")

# Bytes that a file may have. One picture needs more, the twentieth.
QUOTA = 50_000
LIMIT = 300

BATCH = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({QUOTA}, {QUOTA}))
from vqcodec.__main__ import main
main()
"""


def compress(folder: Path, *arguments: str, code: str = BATCH) -> subprocess.CompletedProcess:
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-c", code, "compress", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=LIMIT,
        check=False,
    )


def noise(path: Path, width: int, height: int) -> None:
    """A picture with an alpha plane that cannot be compressed."""
    values = np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
    Image.fromarray(values).save(path)


def make_album(here: Path, photo: Image.Image) -> dict[str, str]:
    """Make `album` with most of the 50 inputs, and obstacles below `out`. Return the faults by input."""
    album = here / "album"
    for folder in ("below", "blocked", "folder.jpg"):
        (album / folder).mkdir(parents=True)
    (here / "empty.png").mkdir()
    small = photo.resize((48, 32))
    for number in range(27):
        small.save(album / f"{number:02}.png")
    noise(album / "19.png", 400, 300)
    small.save(album / "below" / "00.png")
    small.save(album / "folder.jpg" / "inside.png")
    small.save(album / "twin.png")
    small.save(album / "twin.jpg")
    small.convert("CMYK").save(album / "inks.tif")
    small.save(album / "moving.gif", save_all=True, append_images=[small.convert("L")])
    shutil.copy(album / "00.png", album / "caf\u00e9.png")
    shutil.copy(album / "00.png", os.fsencode(album) + b"/\xff.png")
    (album / "link.png").symlink_to("00.png")

    (album / "broken.png").write_text("not a picture")
    (album / "cut.jpg").write_bytes((album / "twin.jpg").read_bytes()[:-100])
    (album / "nothing.tif").touch()
    (album / "gone.png").symlink_to("nowhere.png")
    (album / "loop.png").symlink_to("loop.png")
    (album / "error.png").symlink_to("/proc/self/mem")
    os.mkfifo(album / "pipe.png")
    Image.new("1", (2000, 1000)).save(album / "huge.png")
    small.save(album / "blocked" / "a.png")
    small.save(album / ("l" * 252 + ".im"), "PNG")
    shutil.copy(album / "00.png", album / "there.png")
    shutil.copy(album / "00.png", album / "folder.png")

    (here / "out").mkdir()
    (here / "out" / "blocked").write_text("a file where a folder must be")
    (here / "out" / "there.vqc").write_text("mine")
    (here / "out" / "folder.vqc").mkdir()
    return {
        "empty.png": "holds no files of the kind to read",
        "album/19.png": "cannot be written: File too large",
        "album/broken.png": "not a picture in a format that Pillow reads",
        "album/cut.jpg": "image file is truncated (",
        "album/nothing.tif": "not a picture in a format that Pillow reads",
        "album/gone.png": "No such file or directory",
        "album/loop.png": "Too many levels of symbolic links",
        "album/error.png": "Input/output error",
        "album/pipe.png": "is a pipe or a device",
        "album/huge.png": "2000x1000 pixels are more than the limit of 1000000",
        "album/blocked/a.png": f"{here}/out/blocked is not a directory",
        f"album/{'l' * 252}.im": "cannot be written: File name too long",
        "album/there.png": "exists already (",
        "album/folder.png": "is a directory",
        "missing.png": "No such file or directory",
    }


def test_a_batch_does_all_that_can_be_done_and_names_each_fault(tmp_path: Path, photo: Image.Image) -> None:
    faults = make_album(tmp_path, photo)
    result = compress(
        tmp_path,
        *("empty.png", "album", "missing.png", "-o", "out", "--json", "--max-megapixels", "1"),
        *("--threads", "2"),
    )
    assert "Traceback" not in result.stderr
    assert result.returncode == 1, result.stderr
    said = {line["input"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert len(said) == len(result.stdout.splitlines()) == 50

    assert {name for name, line in said.items() if "error" in line} == set(faults)
    lines = result.stderr.splitlines()
    for name, fault in faults.items():
        assert said[name]["error"].startswith(fault), said[name]
        about = (said[name]["output"], name)
        assert [line for line in lines if any(line.startswith(f"vqcodec: {path}: {fault}") for path in about)]
    # The other lines are warnings about the pictures that are not kept as they are.
    assert len(lines) == len(faults) + 2

    made = {name: line["output"] for name, line in said.items() if "error" not in line}
    assert (made["album/twin.png"], made["album/twin.jpg"]) == ("out/twin.png.vqc", "out/twin.jpg.vqc")
    assert made["album/folder.jpg/inside.png"] == "out/folder.jpg/inside.vqc"
    for output in made.values():
        # JSON has the name as Python reads it.
        assert bitstream.info((tmp_path / output).read_bytes())["width"] == 48
    found = {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    others = {tmp_path / "out" / "blocked", tmp_path / "out" / "there.vqc"}
    assert found == {tmp_path / output for output in made.values()} | others
    assert (tmp_path / "out" / "there.vqc").read_text() == "mine"


def test_a_full_disk_stops_only_what_does_not_fit(tmp_path: Path, photo: Image.Image) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small disk")
    try:
        for name in ("a", "c"):
            photo.resize((48, 32)).save(tmp_path / f"{name}.png")
        noise(tmp_path / "b.png", 700, 600)
        result = compress(
            tmp_path,
            "a.png",
            "b.png",
            "c.png",
            "-o",
            "disk",
            code="from vqcodec.__main__ import main; main()",
        )
        assert result.returncode == 7
        assert result.stderr == "vqcodec: disk/b.vqc: cannot be written: No space left on device\n"
        assert sorted(os.listdir(disk)) == ["a.vqc", "c.vqc"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
