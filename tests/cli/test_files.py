"""Names, times and permissions of the files that the commands make."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from PIL import Image

import bitstream
from vqcodec.cli.main import main


@pytest.fixture
def here(tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, but for photo.png."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    photo.resize((48, 32)).save("photo.png")
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--quiet"])
    return caught.value.code


def listed(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def test_pictures_of_one_stem_are_all_done(here: Path, photo: Image.Image) -> None:
    photo.convert("L").resize((48, 32)).save("photo.jpg")
    photo.resize((48, 32)).save("other.jpg")
    assert run("compress", ".", "-o", "out") == 0
    assert listed(here / "out") == ["other.vqc", "photo.jpg.vqc", "photo.png.vqc"]
    assert bitstream.info(Path("out/photo.jpg.vqc").read_bytes())["mode"] == "L"
    assert run("decompress", "out", "-o", "back") == 0
    assert listed(here / "back") == ["other.png", "photo.jpg.png", "photo.png.png"]


def test_compress_writes_no_file_under_the_name_of_another_format(
    here: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("x.png", "x.JPG", "x.webp", "new/x.tiff"):
        assert run("compress", "photo.png", "-o", name, "-f") == 2
        suffix = Path(name).suffix.lower()
        expected = f"vqcodec: {name}: the outputs of compress are .vqc files, not {suffix} files\n"
        assert capsys.readouterr().err == expected
    assert listed(here) == ["photo.png"]
    # Of other names, we know nothing.
    for name in ("x.vqc", "x.VQC", "x", "x.partial"):
        assert run("compress", "photo.png", "-o", name) == 0
        assert bitstream.info(Path(name).read_bytes())["width"] == 48
    Path("folder.png").mkdir()
    assert run("compress", "photo.png", "-o", "folder.png") == 0
    assert listed(here / "folder.png") == ["photo.vqc"]


@pytest.mark.usefixtures("here")
@pytest.mark.skipif(os.name != "posix", reason="needs permissions of POSIX")
def test_preserve_keeps_times_and_permissions_there_and_back() -> None:
    def status(name: str) -> tuple[int, int, int]:
        found = os.stat(name)
        return stat.S_IMODE(found.st_mode), found.st_atime_ns, found.st_mtime_ns

    before = 0o640, 10**18 + 1000, 9 * 10**17 + 2000
    os.chmod("photo.png", before[0])
    os.utime("photo.png", ns=before[1:])
    assert run("compress", "photo.png", "--preserve") == 0
    assert status("photo.vqc") == before
    assert run("decompress", "photo.vqc", "-o", "back.png", "--preserve") == 0
    assert status("back.png") == before
    # Without it, the time is now, and the permissions are those of other new files.
    assert run("compress", "photo.png", "-o", "plain.vqc") == 0
    Path("new").touch()
    assert status("plain.vqc")[0] == status("new")[0]
    assert status("plain.vqc")[2] > before[2]
    # A file that is replaced keeps its own.
    os.chmod("plain.vqc", 0o600)
    assert run("compress", "photo.png", "-o", "plain.vqc", "-f") == 0
    assert status("plain.vqc")[0] == 0o600
    assert run("compress", "photo.png", "-o", "plain.vqc", "-f", "--preserve") == 0
    assert status("plain.vqc")[0] == before[0]
