"""Compressing on a local Ray: the same files as without, faults reported, and continued where it was stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("ray.data", reason="needs Ray: pip install 'vqcodec[ray]'")


def compress(*arguments: str | Path) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("RAY_ADDRESS", None)
    return subprocess.run(
        [sys.executable, "-m", "vqcodec", "compress", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_folder_on_ray_gives_the_files_of_this_machine(photo: Image.Image, tmp_path: Path) -> None:
    album = tmp_path / "album"
    (album / "deep").mkdir(parents=True)
    photo.save(album / "a.png")
    photo.convert("CMYK").save(album / "deep" / "b.tif")
    (album / "broken.jpg").write_text("not a picture")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.vqc").write_bytes(b"from the run before")

    on_ray = compress(album, "-o", tmp_path / "out", "--engine", "ray", "--skip-existing", "--json")
    assert on_ray.returncode == 3, on_ray.stderr
    said = {Path(row["input"]).name: row for row in map(json.loads, on_ray.stdout.splitlines())}
    assert said["a.png"]["skipped"]
    assert said["b.tif"]["warnings"] == ["CMYK is converted to sRGB"]
    assert said["broken.jpg"]["error"] == "not a picture in a format that Pillow reads"
    assert f"vqcodec: {album / 'deep' / 'b.tif'}: warning: CMYK is converted to sRGB" in on_ray.stderr
    assert "Traceback" not in on_ray.stderr
    assert (tmp_path / "out" / "a.vqc").read_bytes() == b"from the run before"

    here = compress(album / "deep" / "b.tif", "-o", tmp_path / "here.vqc", "--threads", "1")
    assert here.returncode == 0
    assert (tmp_path / "out" / "deep" / "b.vqc").read_bytes() == (tmp_path / "here.vqc").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == ["a.vqc", "b.vqc"]
