"""The options --keep, --drop and --strip, as a user meets them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitstream
from tests.image.test_keep import XMP, located_exif
from tests.support.signals import seen
from vqcodec.cli.main import main

FAULTS = Path(__file__).parents[1] / "data" / "faults"


@pytest.fixture
def here(tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, but for p3.jpg, with a position in EXIF and XMP."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    with Image.open(FAULTS / "p3.jpg") as image:
        image.save(
            "p3.jpg",
            quality=95,
            exif=b"Exif\0\0" + located_exif(),
            xmp=XMP,
            icc_profile=image.info["icc_profile"],
        )
    return tmp_path


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code


def chunks(path: str) -> list[str]:
    return [chunk["tag"] for chunk in bitstream.info(Path(path).read_bytes())["chunks"]]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "items"),
    [
        ([], {"icc", "exif", "xmp"}),
        (["--keep", "all"], {"icc", "exif", "xmp"}),
        (["--keep", "icc"], {"icc"}),
        (["--keep", "exif,xmp"], {"exif", "xmp"}),
        (["--keep", "none"], set()),
        (["--strip"], set()),
    ],
)
def test_compress_keeps_what_it_is_told_and_colours_always(options: list[str], items: set[str]) -> None:
    assert run("compress", "p3.jpg", "-q", 80, *options) == 0
    assert run("decompress", "--no-label", "p3.vqc", "-o", "back.png") == 0
    with Image.open("back.png") as back, Image.open("p3.jpg") as image:
        back.load()
        names = {"icc_profile": "icc", "exif": "exif", "xmp": "xmp"}
        assert {name for key, name in names.items() if key in back.info} == items
        # Taken for sRGB, the red would be off by 31 in green.
        red = (np.abs(np.asarray(image).astype(int) - (231, 60, 50)) <= 3).all(2)
        assert np.abs(seen(back)[red].mean(0) - (252, 24, 28)).max() < 20
        assert np.abs(seen(back)[~red].mean(0) - seen(image)[~red].mean(0)).max() < 8


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["back.png", "back.bmp", "back.jp2", "back.ppm"])
def test_decompress_keeps_colours_without_a_profile(name: str) -> None:
    assert run("compress", "p3.jpg", "-q", 80) == 0
    assert run("decompress", "--no-label", "p3.vqc", "-o", "kept.png", "--quiet") == 0
    assert run("decompress", "--no-label", "p3.vqc", "-o", name, "--keep", "none", "--quiet") == 0
    with Image.open(name) as back, Image.open("kept.png") as kept:
        assert "icc_profile" not in back.info
        assert np.abs(np.asarray(kept).astype(int) - np.asarray(back)).max() > 15
        assert np.abs(seen(kept).astype(int) - np.asarray(back)).max() <= 2


@pytest.mark.usefixtures("here")
def test_positions_are_dropped_alone() -> None:
    shutil.copy("p3.jpg", "same.jpg")
    assert run("compress", "p3.jpg", "-o", "without.vqc", "--drop", "gps") == 0
    assert run("compress", "same.jpg", "-o", "with.vqc") == 0
    assert run("decompress", "--no-label", "without.vqc", "-o", "a.png") == 0
    assert run("decompress", "--no-label", "with.vqc", "-o", "b.png", "--drop", "gps,thumbnail") == 0
    assert run("decompress", "--no-label", "with.vqc", "-o", "c.png") == 0
    for name in ("a.png", "b.png", "c.png"):
        with Image.open(name) as image:
            image.load()
            exif = image.getexif()
            assert exif[0x010F] == "Cameras & Sons"
            assert (0x8825 in exif) == (name == "c.png")
            assert (b"48,12.5N" in image.info["xmp"]) == (name == "c.png")


@pytest.mark.usefixtures("here")
def test_options_that_make_no_sense_are_one_line(capsys: pytest.CaptureFixture) -> None:
    for options in (["--keep", "iptc"], ["--drop", "icc"], ["--strip", "--keep", "icc"]):
        assert run("compress", "p3.jpg", *options) == 2
        assert not Path("p3.vqc").exists()
        assert capsys.readouterr().err.strip().count("\n") <= 3
    assert run("compress", "p3.jpg", "--quiet") == 0
    assert run("decompress", "--no-label", "p3.vqc", "--keep", "everything") == 2
    assert capsys.readouterr().err == "vqcodec: --keep knows icc, exif, xmp, all or none, not 'everything'\n"


@pytest.mark.usefixtures("here")
def test_the_reference_is_compared_in_the_same_colours(capsys: pytest.CaptureFixture) -> None:
    values = []
    for options in ([], ["--strip"]):
        assert run("compress", "p3.jpg", "-q", 80, "-f", "--quiet", *options) == 0
        assert run("decompress", "--no-label", "p3.vqc", "-f", "-o", "back.png", "--reference", "p3.jpg") == 0
        values.append(float(capsys.readouterr().out.split(" dB PSNR")[0].split()[-1]))
    assert abs(values[0] - values[1]) < 2.5
