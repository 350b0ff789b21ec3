"""Results survive a stop at any byte, and curves are read and written in CompressAI's schema."""

import dataclasses
import json
from pathlib import Path

import pytest

from vqcodec.errors import RequestError
from vqcodec.evaluation.results import ResultsFile, Row, mean_curves, read_curve, read_rows, write_curve

PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "published"


def row(image: str, quality: float, size: int, psnr: float) -> Row:
    return Row(
        image, 7, 100, 50, "jpeg", 'Pillow, "4:2:0"', quality, size, 0.25, 0.125, {"psnr": psnr, "kid": 0.5}
    )


def test_rows_are_there_as_soon_as_they_are_added(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    file = ResultsFile(path, ["psnr", "kid"])
    file.start([])
    file.append(row("a,b.png", 5, 1000, 30.5))
    file.append(row("c.png", 10, 2000, 33.25))
    assert read_rows(path) == file.rows
    assert file.rows[0].bpp == 1.6


def test_a_file_cut_anywhere_keeps_its_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    file = ResultsFile(path, ["psnr", "kid"])
    file.start([])
    file.append(row("a.png", 5, 1000, 30.5))
    end_of_first = path.stat().st_size
    file.append(row("b.png", 5, 1000, 31.5))
    whole = path.read_bytes()
    for end in range(end_of_first, len(whole)):
        path.write_bytes(whole[:end])
        assert read_rows(path) == file.rows[:1]


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(RequestError, match="not a results file: line 2"):
        read_rows(path)


def test_curves_are_means_over_all_images_or_not_at_all(tmp_path: Path) -> None:
    rows = [row("a", 10, 1000, 30), row("b", 10, 3000, 34), row("a", 5, 500, 28), row("b", 5, 700, 30)]
    rows.append(row("a", 20, 9000, 40))
    (curve,) = mean_curves(rows, ["jpeg", "webp"], ["a", "b"])
    assert [(point.quality, point.bpp) for point in curve.points] == [(5, pytest.approx(0.96)), (10, 3.2)]
    assert curve.values("psnr") == [(pytest.approx(0.96), 29), (3.2, 32)]

    rows[0] = dataclasses.replace(rows[0], metrics={})
    assert mean_curves(rows, ["jpeg"], ["a", "b"])[0].values("psnr") == [(pytest.approx(0.96), 29)]


def test_schema_round_trip(tmp_path: Path) -> None:
    (curve,) = mean_curves([row("a", 10, 1000, 30), row("a", 5, 500, 28)], ["jpeg"], ["a"])
    write_curve(curve, tmp_path / "jpeg.json")
    content = json.loads((tmp_path / "jpeg.json").read_text())
    assert content["name"] == "jpeg"
    assert content["results"]["psnr-rgb"] == [28, 30]
    assert content["results"]["encoding_time"] == [0.25, 0.25]
    read = read_curve(tmp_path / "jpeg.json")
    assert read.published
    assert read.values("psnr") == curve.values("psnr")


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_published_curves_are_whole_and_rise_with_rate(path: Path) -> None:
    curve = read_curve(path)
    assert "," in curve.description  # the source
    for name in ("psnr", "ms-ssim"):
        values = curve.values(name)
        assert len(values) == len(curve.points) >= 3
        assert values == sorted(values)
        assert [value for _, value in values] == sorted(value for _, value in values)


@pytest.mark.parametrize("text", ["", "{}", '{"name": "x", "results": {"bpp": [1], "psnr": []}}', "[1]"])
def test_a_damaged_curve_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(RequestError, match=r"x\.json"):
        read_curve(tmp_path / "x.json")
