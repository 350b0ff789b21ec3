"""`evaluate` and `compare` from the command line to the files they write, with real processes."""

import csv
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.pictures import scene
from vqcodec.cli.main import main

pytestmark = pytest.mark.skipif(
    not all(find_spec(package) for package in ("matplotlib", "scipy", "stlpips_pytorch")),
    reason="the extra [bench] is not installed",
)
PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "published" / "jpeg.json"

COUNTING_CODEC = '''
"""Blocks of n x n pixels, each by its mean; notes every call in a file, whichever process it is in."""

from pathlib import Path

from PIL import Image
from vqcodec.evaluation.codecs import BenchCodec


class Blocks(BenchCodec):
    name = "blocks"
    qualities = (1, 2)
    settings = "version 1"

    def compress(self, image, quality):
        with Path(__file__).with_name("calls.txt").open("a") as file:
            file.write("call\\n")
        small = image.reduce(16 // int(quality))
        return bytes((*divmod(image.width, 256), *divmod(image.height, 256), small.width)) + small.tobytes()

    def decompress(self, data):
        small = Image.frombytes("RGB", (data[4], (len(data) - 5) // 3 // data[4]), data[5:])
        return small.resize((data[0] * 256 + data[1], data[2] * 256 + data[3]))
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with two photos and a codec."""
    (tmp_path / "photos").mkdir()
    scene(144, 128).save(tmp_path / "photos" / "a.png")
    scene(128, 96, seed=1).save(tmp_path / "photos" / "b.jpg")
    (tmp_path / "blocks_of_a_test.py").write_text(COUNTING_CODEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@dataclass
class Outcome:
    exit_code: int
    output: str


@pytest.fixture
def vqcodec(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command line."""

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        captured = capfd.readouterr()
        return Outcome(caught.value.code or 0, captured.out + captured.err)

    return run


EVALUATE = ["evaluate", "photos", "--codecs", "blocks_of_a_test:Blocks,jpeg", "--qualities", "jpeg=5,50"]
EVALUATE += ["--workers", "1", "--metrics", "psnr,kid", "--pictures", "0"]


def calls(folder: Path) -> int:
    return (folder / "calls.txt").read_text().count("call")


def test_a_run_is_written_continued_and_measured_again_where_it_must(
    folder: Path, vqcodec: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = vqcodec(
        *EVALUATE,
        "--workers",
        "2",
        "--overlay",
        str(PUBLISHED),
        "--show",
        "a.png",
        "--bpp",
        "0.5",
    )
    assert result.exit_code == 0, result.output
    out = folder / "results"
    printed = [Path(line) for line in result.output.splitlines() if line.startswith("results")]
    assert sorted(printed) == sorted(path.relative_to(folder) for path in out.iterdir())
    with (out / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["image"] for row in rows} == {"photos/a.png", "photos/b.jpg"}
    for row in rows:
        pixels = int(row["width"]) * int(row["height"])
        assert float(row["bpp"]) == pytest.approx(8 * int(row["size"]) / pixels, abs=1e-6)
    curve = json.loads((out / "blocks.json").read_text())
    assert curve["description"] == "version 1"
    assert {"bpp", "psnr-rgb", "kid", "kid-standard-error", "quality"} <= curve["results"].keys()
    page = (out / "report.html").read_text()
    assert "JPEG, published" in page
    assert 'data-codec="blocks"' in page
    assert re.findall("<h3>(.*?)</h3>", page) == ["photos/a.png at 0.5 bpp"]
    assert str(folder) not in page
    assert (out / "rate-distortion.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "rate-distortion.svg").exists()
    assert "blocks,jpeg" in (out / "bdrate.csv").read_text()
    with (out / "means.csv").open(newline="") as file:
        means = list(csv.DictReader(file))
    assert [(mean["codec"], mean["quality"]) for mean in means][:2] == [("blocks", "1"), ("blocks", "2")]
    sizes = [float(row["bpp"]) for row in rows if row["codec"] == "blocks" and float(row["quality"]) == 1]
    assert float(means[0]["bpp"]) == pytest.approx(sum(sizes) / 2, abs=1e-5)
    header, first = re.findall("^(?:codec|blocks) .*", result.output, re.MULTILINE)[:2]
    assert header.split() == ["codec", "quality", "bpp", "psnr", "kid"]
    assert first.split()[:3] == ["blocks", "1", f"{float(means[0]['bpp']):.4f}"]
    assert curve["metrics"]["kid"] == "KID of 64x64 patches (AlexNet of ST-LPIPS)"
    assert float(means[0][curve["metrics"]["kid"]]) == pytest.approx(curve["results"]["kid"][0], rel=1e-5)

    # Stopped while the last row was being written, with one picture changed since.
    before = calls(folder)
    whole = (out / "rows.csv").read_bytes()
    lines = whole.splitlines(keepends=True)
    lost = next(i for i, line in enumerate(lines) if line.startswith(b"photos/a.png") and b"blocks" in line)
    (out / "rows.csv").write_bytes(b"".join(lines[:lost] + lines[lost + 1 :] + [lines[lost][:-4]]))
    scene(128, 96, seed=2).save(folder / "photos" / "b.jpg")
    result = vqcodec(*EVALUATE)
    assert result.exit_code == 0, result.output
    assert calls(folder) - before == 1 + 2
    with (out / "rows.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 8

    before = calls(folder)
    curve = (out / "blocks.json").read_text()
    assert vqcodec(*EVALUATE).exit_code == 0
    assert calls(folder) == before
    assert (out / "blocks.json").read_text() == curve

    source = folder / "blocks_of_a_test.py"
    source.write_text(source.read_text().replace("version 1", "version 1.1"))
    monkeypatch.delitem(sys.modules, "blocks_of_a_test")
    assert vqcodec(*EVALUATE).exit_code == 0
    assert calls(folder) - before == 4
    assert "version 1.1" in (out / "blocks.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--codecs", "gif"], "no codec 'gif': choose from vqcodec, vqcodec-faithful, jpeg"),
        (["--codecs", "jpeg", "--metrics", "vmaf"], "no metric 'vmaf'"),
        (["--codecs", "jpeg", "--qualities", "jpeg"], "not of the form"),
        (["--codecs", "jpeg", "--show", "c.png"], "--show c.png: no pictures are called that"),
        (["--codecs", "jpeg", "--qualities", "webp=5"], "given for webp, which is not among jpeg"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, vqcodec: Callable[..., Outcome], arguments: list[str], message: str
) -> None:
    result = vqcodec("evaluate", "photos", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_folder_without_pictures(folder: Path, vqcodec: Callable[..., Outcome]) -> None:
    (folder / "empty").mkdir()
    result = vqcodec("evaluate", "empty", "--codecs", "jpeg")
    assert result.exit_code == 3
    assert "no pictures in empty" in result.output


def test_a_file_that_is_no_picture_is_named(folder: Path, vqcodec: Callable[..., Outcome]) -> None:
    (folder / "photos" / "c.png").write_bytes(b"no")
    result = vqcodec("evaluate", "photos", "--codecs", "jpeg")
    assert result.exit_code == 3
    assert "c.png" in result.output
    result = vqcodec("compare", "photos/c.png", "--codecs", "jpeg")
    assert result.exit_code == 3
    assert result.output == "vqcodec: photos/c.png: not a picture in a format that Pillow reads\n"
    assert not list((folder / "photos").glob("*.html"))


def test_an_output_that_cannot_be_written_is_named(folder: Path, vqcodec: Callable[..., Outcome]) -> None:
    result = vqcodec(
        "evaluate", "photos", "--codecs", "jpeg", "--metrics", "psnr", "--out", "photos/a.png/out"
    )
    assert result.exit_code == 7
    assert result.output.startswith("vqcodec: photos/a.png/out: cannot be written: ")
    result = vqcodec("compare", "photos/a.png", "--codecs", "jpeg", "-o", "photos/a.png/x/page.html")
    assert result.exit_code == 7
    assert result.output.startswith("vqcodec: photos/a.png/x/page.html: cannot be written: ")


def test_a_codec_that_fails_is_named_with_picture_and_quality(
    folder: Path, vqcodec: Callable[..., Outcome]
) -> None:
    source = folder / "blocks_of_a_test.py"
    source.write_text(
        source.read_text().replace("small = Image", "raise OSError('out of blocks')\n        small = Image")
    )
    result = vqcodec(*EVALUATE, "--metrics", "psnr")
    assert result.exit_code == 1
    assert "blocks_of_a_test:Blocks at quality" in result.output
    assert "OSError: out of blocks" in result.output


def test_compare_writes_a_page(folder: Path, vqcodec: Callable[..., Outcome]) -> None:
    result = vqcodec("compare", "photos/a.png", "--codecs", "blocks_of_a_test:Blocks,jpeg", "--bpp", "0.4")
    assert result.exit_code == 0, result.output
    page = (folder / "photos" / "a-compare.html").read_text()
    assert "a.png at 0.4 bpp" in page
    assert page.count("<img ") == 3
