"""The checks on the benchmark's results tell right from wrong."""

import dataclasses

import pytest

pytest.importorskip("scipy")

from benchmarks.publish.checks import PUBLISHED, agreement, bars
from vqcodec.evaluation.results import Curve, Point, read_curve


def measured(name: str, shift: float) -> Curve:
    """A published curve as if it had been measured here, with another PSNR."""
    curve = read_curve(PUBLISHED / f"{name}.json")
    points = [
        dataclasses.replace(point, metrics={"psnr": point.metrics["psnr"] + shift}) for point in curve.points
    ]
    return Curve(name, "", tuple(points))


def test_agreement_holds_within_a_third_of_a_decibel() -> None:
    checks = agreement([measured("jpeg", 0.2), measured("webp", -0.4)])
    assert {check.holds for check in checks if "jpeg" in check.what} == {True}
    assert {check.holds for check in checks if "webp" in check.what} == {False}
    avif = dataclasses.replace(measured("av1", -2.0), name="avif")
    assert {check.holds for check in agreement([avif])} == {None}
    alike = dataclasses.replace(avif, name="avif-like-published")
    assert {check.holds for check in agreement([alike])} == {False}


def curve(name: str, rates: list[float], values: list[float]) -> Curve:
    names = ("st-lpips-alex", "st-lpips-vgg", "kid")
    points = [
        Point(rate, 0, dict.fromkeys(names, value) | {"psnr": 25, "ms-ssim": 0.8})
        for rate, value in zip(rates, values, strict=True)
    ]
    return Curve(name, "", tuple(points))


def test_bars_compare_the_codec_with_avif_at_the_rates_asked_for() -> None:
    ours = curve("vqcodec", [0.04, 0.08, 0.16], [0.3, 0.2, 0.1])
    avif = curve("avif", [0.06, 0.2, 0.4], [0.35, 0.15, 0.01])
    checks = {check.what: check for check in bars([ours, avif])}
    alex = checks["ST-LPIPS (AlexNet), vqcodec at 0.050 bpp, AVIF at 0.075 bpp, not larger"]
    assert 0.2 < alex.measured < alex.reference < 0.35
    assert alex.holds
    (kid,) = (check for what, check in checks.items() if what.startswith("KID"))
    assert kid.holds is False
    assert [check.holds for what, check in checks.items() if "not smaller" in what] == [False, True]


def test_bars_do_not_extrapolate() -> None:
    what = "ST-LPIPS (VGG16), vqcodec at 0.050 bpp, AVIF at 0.050 bpp, not larger"
    avif = curve("avif", [0.06, 0.2], [0.28, 0.15])
    for values, holds in (([0.3, 0.2, 0.1], True), ([0.6, 0.5, 0.4], None)):
        checks = {check.what: check for check in bars([curve("vqcodec", [0.04, 0.08, 0.16], values), avif])}
        assert (checks[what].reference, checks[what].holds) == (0.28, holds)
        assert "AVIF has no files so small; its smallest are of 0.060 bpp" in checks[what].note
    checks = {check.what: check for check in bars([curve("vqcodec", [0.06, 0.16], [0.3, 0.1]), avif])}
    assert (checks[what].measured, checks[what].holds) == (None, None)
    (kid,) = (check for name, check in checks.items() if name.startswith("KID"))
    assert (kid.reference, kid.holds) == (None, None)
    assert "its largest files are of 0.200 bpp" in kid.note


def test_bars_say_nothing_without_the_codec() -> None:
    assert {check.holds for check in bars([curve("avif", [0.1, 0.2], [0.3, 0.2])])} == {None}
