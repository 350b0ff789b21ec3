"""BD-rate against published values, and on curves whose answer is known."""

import math

import pytest

pytest.importorskip("scipy")

from vqcodec.evaluation.report.bdrate import bd_rate, value_at


@pytest.mark.parametrize(
    ("anchor", "codec", "percent"),
    [
        # JCTVC-E137 (Geneva, 2011), also the test data of Netflix's VMAF tools.
        (
            [(108048.8736, 43.6471), (61279.976, 40.3953), (33905.6656, 37.247), (18883.6928, 34.2911)],
            [(108061.2784, 43.6768), (61299.9936, 40.4232), (33928.7472, 37.2761), (18910.912, 34.3147)],
            -0.465,
        ),
        (
            [(40433.8848, 37.5761), (7622.7456, 35.3756), (2394.488, 33.8977), (1017.6184, 32.0603)],
            [(40370.12, 37.5982), (7587.0024, 35.4025), (2390.0944, 33.9194), (1017.0984, 32.0822)],
            -1.878,
        ),
    ],
)
def test_published_examples(anchor: list, codec: list, percent: float) -> None:
    assert bd_rate(anchor, codec).percent == pytest.approx(percent, abs=0.01)


CURVE = [(0.1, 26.0), (0.2, 29.0), (0.4, 31.5), (0.8, 33.0)]


def test_twice_the_bytes_is_plus_100_and_half_is_minus_50() -> None:
    doubled = [(2 * rate, quality) for rate, quality in CURVE]
    assert bd_rate(CURVE, doubled).percent == pytest.approx(100)
    assert bd_rate(doubled, CURVE).percent == pytest.approx(-50)
    assert bd_rate(CURVE, CURVE).percent == pytest.approx(0)


def test_a_distance_is_a_quality_turned_around() -> None:
    distances = [(rate, 1 - quality / 40) for rate, quality in CURVE]
    doubled = [(2 * rate, distance) for rate, distance in distances]
    rate = bd_rate(distances, doubled, higher_is_better=False)
    assert rate.percent == pytest.approx(100)
    assert (rate.low, rate.high) == pytest.approx((1 - 26 / 40, 1 - 33 / 40))


def test_the_range_is_what_both_curves_cover() -> None:
    better = [(rate, quality + 2) for rate, quality in CURVE]
    rate = bd_rate(CURVE, better)
    assert (rate.low, rate.high) == (28, 33)
    assert rate.overlap == pytest.approx(5 / 9)
    assert bd_rate(CURVE, [(rate, quality + 7) for rate, quality in CURVE]) is None


def test_order_does_not_matter_and_points_that_never_pay_are_left_out() -> None:
    useless = [(0.5, 31.0), (0.9, math.inf)]
    assert bd_rate(CURVE[::-1] + useless, CURVE).percent == pytest.approx(0)


def test_quality_at_a_rate_passes_through_the_points_and_does_not_extrapolate() -> None:
    for rate, quality in CURVE:
        assert value_at(CURVE[::-1], rate) == pytest.approx(quality)
    straight = [(rate, 20 + 3 * math.log2(rate)) for rate in (0.1, 0.2, 0.4)]
    assert value_at(straight, 0.3) == pytest.approx(20 + 3 * math.log2(0.3))
    assert value_at(CURVE, 0.09) is None
    assert value_at(CURVE, 0.81) is None
