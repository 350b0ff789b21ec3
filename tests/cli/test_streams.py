"""Standard streams that are full, closed or short of characters decide over nothing but the exit code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

FULL = Path("/dev/full")
LOST = "vqcodec: standard output: cannot be written: No space left on device\n"
CLOSED = "vqcodec: standard output: cannot be written: Bad file descriptor\n"
# Much more than any of them takes.
LIMIT = 120

posix = pytest.mark.skipif(os.name != "posix", reason="needs the shell of POSIX")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, photo: Image.Image) -> Path:
    """a.png, b.png, whole.vqc"""
    folder = tmp_path_factory.mktemp("album")
    photo.resize((48, 32)).save(folder / "a.png")
    shutil.copy(folder / "a.png", folder / "b.png")
    assert shell(folder, "compress a.png -o whole.vqc").returncode == 0
    return folder


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess:
    """Run the program with the rest of a command line of the shell."""
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": ""} | environment
    return subprocess.run(
        f"'{sys.executable}' -m vqcodec {line}",
        shell=True,
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@needs_full
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_reports_to_a_full_disk_are_one_line_after_the_work(album: Path, unbuffered: str) -> None:
    result = shell(
        album, "compress a.png b.png -o out -f --threads 2 >/dev/full", PYTHONUNBUFFERED=unbuffered
    )
    assert (result.returncode, result.stderr) == (7, LOST)
    assert sorted(os.listdir(album / "out")) == ["a.vqc", "b.vqc"]
    # What went wrong with the files has the exit code.
    result = shell(album, "compress a.png missing.png -o out -f >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert (result.returncode, result.stderr) == (
        3,
        "vqcodec: missing.png: No such file or directory\n" + LOST,
    )


@needs_full
@pytest.mark.parametrize(
    "line",
    [
        "compress a.png -o -",
        "decompress whole.vqc -o -",
        "decompress whole.vqc -o back.png -f --json",
        "info whole.vqc",
        "info --json whole.vqc whole.vqc",
        "evaluate --help",
        "--version",
    ],
)
def test_a_full_standard_output_is_named_and_7(album: Path, line: str) -> None:
    result = shell(album, f"{line} >/dev/full")
    assert (result.returncode, result.stderr) == (7, LOST)
    if not line.startswith(("compress", "decompress")):
        result = shell(album, f"{line} >/dev/full", PYTHONUNBUFFERED="1")
        assert (result.returncode, result.stderr) == (7, LOST)


@posix
def test_closed_streams(album: Path) -> None:
    for line, code, err in (
        ("compress a.png b.png -o out -f 2>&-", 0, ""),
        ("compress missing.png a.png -o out -f 2>&-", 3, ""),
        ("compress a.png b.png -o out -f >&-", 7, CLOSED),
        ("compress a.png b.png -o out -f --quiet >&-", 0, ""),
        ("compress a.png -o - >&-", 7, CLOSED),
        ("compress a.png b.png -o out -f --threads 2 <&- >&- 2>&-", 7, ""),
        ("info whole.vqc >&-", 7, CLOSED),
        ("compress - <&-", 3, "vqcodec: standard input: cannot be read: Bad file descriptor\n"),
        ("info - <&-", 3, "vqcodec: -: cannot be read: Bad file descriptor\n"),
    ):
        shutil.rmtree(album / "out", ignore_errors=True)
        result = shell(album, line)
        assert (line, result.returncode, result.stderr) == (line, code, err)
        if " -o out" in line:
            # Nothing but the file is in the file.
            assert (album / "out" / "a.vqc").read_bytes() == (album / "whole.vqc").read_bytes()


@needs_full
def test_a_full_standard_error_stops_nothing(album: Path) -> None:
    result = shell(album, "compress missing.png a.png -o late -f 2>/dev/full")
    assert (result.returncode, result.stderr) == (3, "")
    assert os.listdir(album / "late") == ["a.vqc"]


@posix
def test_names_that_standard_output_cannot_encode(tmp_path: Path, album: Path) -> None:
    names = ["caf\u00e9.png", "plain.png"]
    for name in names:
        shutil.copy(album / "a.png", tmp_path / name)
    try:
        shutil.copy(album / "a.png", os.fsencode(tmp_path) + b"/\xff.png")
    except OSError:
        pytest.skip("this file system takes names of characters only")
    result = shell(tmp_path, "compress . -o out", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert result.returncode == 0, result.stderr
    assert [line.split(" -> ")[0] for line in result.stdout.splitlines()] == [
        "caf\\xe9.png",
        "plain.png",
        "\\udcff.png",
    ]
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == [
        b"caf\xc3\xa9.vqc",
        b"plain.vqc",
        b"\xff.vqc",
    ]
    result = shell(tmp_path, "info out/*", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0].startswith("out/caf\\xe9.vqc: 48x32 RGB")
    assert shell(tmp_path, "info out/*", PYTHONUTF8="1").returncode == 0


@posix
@pytest.mark.parametrize(
    "line", ["compress a.png -o -", "info whole.vqc", "compress a.png b.png -o piped -f"]
)
def test_a_reader_that_goes_away_is_no_news(album: Path, line: str) -> None:
    result = shell(album, f"{line} | true")
    assert (result.returncode, result.stderr) == (0, "")
    if "piped" in line:
        assert sorted(os.listdir(album / "piped")) == ["a.vqc", "b.vqc"]
