"""The tables of the README say of curves whose answer is known what they show."""

import pytest

pytest.importorskip("scipy")

from benchmarks.publish.pages import PAGES, peer_table, rate_table, rewritten
from vqcodec.evaluation.results import Curve, Point


def curve(name: str, rates: list[float], psnr: list[float], kid: list[float]) -> Curve:
    points = zip(rates, psnr, kid, strict=True)
    return Curve(name, "", tuple(Point(rate, 0, {"psnr": a, "kid": b}) for rate, a, b in points))


OURS = curve("vqcodec", [0.05, 0.1, 0.2], [24.0, 26.0, 28.0], [0.3, 0.2, 0.1])
AVIF = curve("avif", [0.1, 0.2, 0.4], [27.0, 29.0, 31.0], [0.25, 0.05, 0.01])
JPEG = curve("jpeg", [0.3, 0.6], [20.0, 23.0], [0.9, 0.8])


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]


def test_the_peers_that_win_are_named_with_the_rates_where_they_do() -> None:
    header, _, avif, jpeg = cells(peer_table([OURS, AVIF, JPEG]))
    assert header[2:] == ["PSNR, RGB (dB)", "KID of 64x64 patches (AlexNet of ST-LPIPS)"]
    assert avif[:2] == ["AVIF", "0.10 to 0.20"]
    # Half a doubling of the rate at every quality from 27 to 28 dB, which are 14 % of 24 to 31 dB.
    assert avif[2] == "worse, +41 % (14 %)"
    assert avif[3].startswith("better below 0.1")
    assert jpeg == ["JPEG", "none", "–", "–"]


def test_rates_that_a_codec_does_not_reach_stay_empty() -> None:
    rows = cells(rate_table([OURS, AVIF, JPEG]))[2:]
    assert rows[0] == ["0.05", "vqcodec", "24.00", "0.3000"]
    there = {rate: [row[1] for row in rows if row[0] == rate] for rate in ("0.05", "0.15", "0.30", "0.50")}
    assert there == {
        "0.05": ["vqcodec"],
        "0.15": ["vqcodec", "AVIF"],
        "0.30": ["AVIF", "JPEG"],
        "0.50": ["JPEG"],
    }
    # The rates are powers, the qualities a straight line over them.
    assert next(row[2] for row in rows if row[:2] == ["0.15", "vqcodec"]) == "27.17"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_the_committed_results(page):
    assert rewritten(page) == page.read_text(encoding="utf-8")
