"""The pages: everything inside, and a slider that works in a real browser without network."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.support.webdriver import BROWSER, DRIVER, Browser
from vqcodec.evaluation.codecs import BenchCodec
from vqcodec.evaluation.comparison import Comparison, Version, compare
from vqcodec.evaluation.metrics import Scorer
from vqcodec.evaluation.report.page import slider
from vqcodec.evaluation.report.report import comparison_page, report
from vqcodec.evaluation.results import Curve, Point, read_curve

PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "published"
RED, BLUE, GREEN, GREY = (200, 0, 0), (0, 0, 200), (0, 200, 0), (90, 90, 90)


def coloured(name: str = "<photo>") -> Comparison:
    """A picture that every codec turns into another colour."""
    versions = tuple(
        Version(codec, 50, size, Image.new("RGB", (300, 200), colour), {"psnr": 30.0})
        for codec, size, colour in (("red", 100, RED), ("blue & co", 101, BLUE), ("green", 102, GREEN))
    )
    return Comparison(name, 0.5, Image.new("RGB", (300, 200), GREY), versions)


def test_a_page_refers_to_nothing_outside() -> None:
    page = comparison_page("title", [coloured()])
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 5
    assert all(source.startswith("data:") for source in sources)
    assert "&lt;photo&gt;" in page
    assert "<photo>" not in page
    assert "blue &amp; co" in page


def test_a_peer_without_a_file_so_small_is_named() -> None:
    image = Image.new("RGB", (8, 8), GREY)
    versions = [
        Version(name, 1, size, image, {}) for name, size in (("ours", 100), ("near", 103), ("far", 130))
    ]
    text = slider(Comparison("x", 12.0, image, tuple(versions)))
    assert (
        "ours has no file so small; this is its smallest. The nearest file is larger: far (+30.0%)." in text
    )
    assert "<td>+3.0%</td>" in text


def test_a_large_picture_is_shown_in_part_and_the_page_says_so() -> None:
    image = Image.new("RGB", (4000, 2000), GREY)
    text = slider(Comparison("large", 1.0, image, (Version("red", 1, 8, image, {}),)))
    assert "The middle 2828x1414 of 4000x2000 pixels" in text


def whole_report(*published: Curve) -> str:
    """A report of two codecs, one of which needs half the bytes, and published curves."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    rates, qualities = (0.1, 0.2, 0.4), (28.0, 30.0, 32.0)
    curves = [
        Curve(
            name,
            f"{name} 1.0",
            tuple(Point(rate * factor, 5, {"psnr": q}) for rate, q in zip(rates, qualities, strict=True)),
        )
        for name, factor in (("ours", 0.5), ("theirs", 1.0))
    ]
    return report("A title", [*curves, *published], [coloured()], {"cpu": "abacus"})


def test_a_report_holds_curves_rates_and_notes() -> None:
    point = Point(0.3, float("nan"), {"psnr": 29.0})
    page = whole_report(Curve("old", "a paper", (point,), published=True))
    assert "-50.0 (100%)" in page
    assert page.count("<svg") == 1
    for text in ("PSNR, RGB (dB)", "theirs 1.0", "abacus", "a paper", "How it was measured"):
        assert text in page


class Sized(BenchCodec):
    """A codec whose files have exactly as many bytes as its quality says."""

    def __init__(self, name: str, qualities: tuple[int, ...]) -> None:
        self.name = name
        self.qualities = qualities

    def compress(self, image: Image.Image, quality: float) -> bytes:
        return bytes(int(quality))

    def decompress(self, data: bytes) -> Image.Image:
        return Image.new("RGB", (40, 20), GREY)


def test_peers_never_get_fewer_bytes() -> None:
    codecs = [
        Sized("ours", (90, 99, 110)),
        Sized("fine", (98, 100)),
        Sized("coarse", (500,)),
        Sized("low", (9,)),
    ]
    comparison = compare("x", Image.new("RGB", (40, 20)), codecs, bpp=1.0, scorer=Scorer(["psnr"]))
    assert [version.size for version in comparison.versions] == [99, 100, 500, 9]
    assert comparison.versions[0].metrics["psnr"] > 5


@pytest.fixture(scope="module")
def browser() -> Browser:
    if not (BROWSER and DRIVER):
        pytest.skip("Chromium and chromedriver are not installed (Debian: chromium chromium-driver)")
    with Browser() as browser:
        yield browser


def side_colours(browser: Browser) -> tuple[tuple[int, ...], ...]:
    """Colours of the second picture at 5, 25, 75 and 95 % of its width."""
    shot = browser.screenshot("section:nth-of-type(2) .stage")
    return tuple(
        shot.getpixel((int(shot.width * part), shot.height // 2)) for part in (0.05, 0.25, 0.75, 0.95)
    )


def test_the_slider_works_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    tall = Image.new("RGB", (100, 300), GREY)
    pages = [
        coloured("first"),
        coloured("second"),
        Comparison("tall", 1.0, tall, (Version("red", 1, 8, tall, {}),)),
    ]
    path.write_text(comparison_page("title", pages), encoding="utf-8")
    browser.open(path)

    widths = browser.run("return [...document.images].map(image => image.complete && image.naturalWidth)")
    assert widths == [300] * 8 + [100] * 2
    assert side_colours(browser) == (RED, RED, BLUE, BLUE)

    script = "const b = document.querySelectorAll('.stage')[1].getBoundingClientRect();"
    script += "return [b.left, b.top, b.width, b.height]"
    left, top, width, height = browser.run(script)
    middle = top + height / 2
    browser.drag((left + width / 2, middle), (left + width * 0.15, middle))
    assert side_colours(browser) == (RED, BLUE, BLUE, BLUE)
    browser.type_into("section:nth-of-type(2) input[type=range]", "\ue010")  # the End key
    assert side_colours(browser) == (RED, RED, RED, RED)

    browser.type_into("section:nth-of-type(2) input[type=range]", "\ue011")  # the Home key
    browser.type_into("section:nth-of-type(2) select.right", "green")
    assert side_colours(browser) == (GREEN, GREEN, GREEN, GREEN)
    # A tall picture is seen whole.
    script = "const stage = document.querySelectorAll('.stage')[2].getBoundingClientRect();"
    assert browser.run(script + "return stage.height < innerHeight && stage.height > stage.width")
    browser.type_into("section:nth-of-type(2) select.zoom", "2:1")
    assert browser.run("return document.querySelectorAll('.stage')[1].offsetWidth * devicePixelRatio") == 600
    assert browser.log() == []


def test_a_report_opens_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    published = [read_curve(path) for path in sorted(PUBLISHED.glob("*.json"))]
    path.write_text(whole_report(*published), encoding="utf-8")
    browser.open(path)
    assert browser.run("return [...document.images].map(image => image.naturalWidth)") == [300] * 4
    width, height = browser.run(
        "const b = document.querySelector('svg').getBoundingClientRect(); return [b.width, b.height]"
    )
    assert width > height > 200
    script = "const outer = document.querySelector('svg').getBoundingClientRect();"
    script += (
        "const texts = [...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect());"
    )
    script += (
        "return texts.map(b => b.left >= outer.left && b.right <= outer.right && b.bottom <= outer.bottom)"
    )
    inside = browser.run(script)
    assert len(inside) > 2 + len(published)
    assert all(inside)
    # Nothing is wider than the window.
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.log() == []
