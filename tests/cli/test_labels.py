"""`decompress` labels pictures, and `info` reads the labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import bitstream
from vqcodec import __version__
from vqcodec.cli.main import main
from vqcodec.codec import default_codec
from vqcodec.image.xmp import DIGITAL_SOURCE_TYPE


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    return caught.value.code


def test_decoded_pictures_say_what_they_are_unless_told_not_to(
    tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    photo.save("photo.png")
    assert run("compress", "photo.png", "--quiet") == 0
    assert run("decompress", "photo.vqc", "-o", "a.jpg", "--realism", "0.5", "--quiet") == 0
    assert run("decompress", "photo.vqc", "-o", "b.tif", "--quiet") == 0
    assert run("decompress", "photo.vqc", "-o", "c.png", "--no-label", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    found = bitstream.info(Path("photo.vqc").read_bytes())
    assert run("info", "a.jpg", "b.tif") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"a.jpg: 160x107 RGB JPEG, {Path('a.jpg').stat().st_size:,} bytes"
    # The label holds four digits.
    bpp = float(f"{found['bpp']:.4g}")
    said = f"  decoded by vqcodec {__version__}, model {found['model_id']}, realism %s, from {bpp:.3f} bpp"
    assert lines[1] == said % "0.5"
    assert lines[2] == "  labelled compositeWithTrainedAlgorithmicMedia"
    assert lines[4] == said % f"{default_codec().transform.realism:g}"
    assert run("info", "a.jpg", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": "a.jpg",
        "format": "JPEG",
        "width": 160,
        "height": 107,
        "mode": "RGB",
        "bytes": Path("a.jpg").stat().st_size,
        "label": {
            "version": __version__,
            "model_id": found["model_id"],
            "realism": 0.5,
            "bpp": pytest.approx(found["bpp"], rel=1e-3),
            "digital_source_type": DIGITAL_SOURCE_TYPE,
        },
    }
    assert run("info", "c.png", "photo.png") == 3
    assert capsys.readouterr().err.splitlines() == [
        f"vqcodec: {name}: not a .vqc file, but a picture without a label of this codec"
        for name in ("c.png", "photo.png")
    ]
    with Image.open("c.png") as image:
        assert not image.info.keys() & {"xmp", "exif", "Software"}
