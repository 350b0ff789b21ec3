"""What the results have to show: agreement with published curves, and the codec against AVIF.

`python -m benchmarks.publish.checks` computes `results/kodak/checks.csv` anew from the curves beside it.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqcodec.evaluation.metrics import METRICS
from vqcodec.evaluation.report.bdrate import value_at
from vqcodec.evaluation.results import Curve, read_curve

HERE = Path(__file__).parents[1]
PUBLISHED = HERE / "published"
KODAK = HERE / "results" / "kodak"
LIKE_PUBLISHED = HERE / "results" / "kodak-like-published"


@dataclass(frozen=True)
class Check:
    """A measured number beside the one it is held against.

    Attributes:
        what: in words.
        measured: None where the curve does not reach the rate.
        reference: likewise.
        holds: whether it is as it should be; None where nothing is asked or it cannot be said.
        note: what a reader has to know besides.
    """

    what: str
    measured: float | None
    reference: float | None
    holds: bool | None
    note: str = ""


# Measured codec, published curve, largest difference in dB, what differs.
_AGREEMENT = (
    ("jpeg", "jpeg", 0.3, "published: Pillow 7.1.2, 4:2:0 like here"),
    ("webp", "webp", 0.3, "published: Pillow 7.1.2, method 4 like here"),
    (
        "avif",
        "av1",
        None,
        "published: aomenc, cpu-used 0, two passes, tuned for PSNR, 4:4:4, without container; here: libavif, "
        "speed 4, one picture, tuned for the eye, 4:2:0, with container; not held to it",
    ),
    (
        "avif-like-published",
        "av1",
        0.3,
        "published: aomenc, cpu-used 0, two passes, tuned for PSNR, 4:4:4, without container; here: libavif, "
        "speed 0, tuned for PSNR, 4:4:4, with container",
    ),
)


def agreement(curves: Sequence[Curve]) -> list[Check]:
    """PSNR of JPEG, WebP and AVIF beside CompressAI's published Kodak curves, at the rates measured here."""
    checks = []
    for name, published, limit, note in _AGREEMENT:
        reference = read_curve(PUBLISHED / f"{published}.json").values("psnr")
        for curve in curves:
            for bpp, psnr in curve.values("psnr") if curve.name == name else ():
                expected = value_at(reference, bpp)
                if expected is not None:
                    holds = None if limit is None else abs(psnr - expected) <= limit
                    what = f"PSNR of {name} at {bpp:.3f} bpp, published {published.upper()} at the same rate"
                    checks.append(Check(what, psnr, expected, holds, note))
    return checks


# Metric, rate of vqcodec, rate of AVIF.
_AGAINST_AVIF = (
    ("st-lpips-alex", 0.05, 0.075),
    ("st-lpips-alex", 0.10, 0.125),
    ("st-lpips-alex", 0.15, 0.15),
    ("st-lpips-vgg", 0.05, 0.05),
    ("st-lpips-vgg", 0.10, 0.10),
    ("kid", 0.15, 0.30),
)
# Metric, rate, least value.
_LEAST = (("ms-ssim", 0.15, 0.89), ("psnr", 0.15, 24.0))


def bars(curves: Sequence[Curve]) -> list[Check]:
    """The codec against AVIF of the same run, and its fidelity at 0.15 bits per pixel.

    Values are interpolated on the mean curves, never extrapolated. Where AVIF's smallest files are larger
    than the rate asked for, their value is taken: who beats that has beaten more than was asked, and who does
    not has not been told whether the bar is met.
    """
    by_name = {curve.name: curve for curve in curves}
    checks = []
    for metric, bpp, avif_bpp in _AGAINST_AVIF:
        label = METRICS[metric].label
        what = f"{label}, vqcodec at {bpp:.3f} bpp, AVIF at {avif_bpp:.3f} bpp, not larger"
        ours, gap = _value(by_name.get("vqcodec"), "vqcodec", metric, bpp)
        avif, avif_gap = _value(by_name.get("avif"), "AVIF", metric, avif_bpp)
        holds = None if ours is None or avif is None else ours <= avif
        if avif is None and "avif" in by_name:
            points = by_name["avif"].values(metric)
            if points and points[0][0] > avif_bpp:
                avif = points[0][1]
                avif_gap += ", whose value stands here"
                holds = True if ours is not None and ours <= avif else None
        checks.append(Check(what, ours, avif, holds, "; ".join(filter(None, (gap, avif_gap)))))
    for metric, bpp, least in _LEAST:
        ours, gap = _value(by_name.get("vqcodec"), "vqcodec", metric, bpp)
        what = f"{METRICS[metric].label}, vqcodec at {bpp:.3f} bpp, not smaller"
        checks.append(Check(what, ours, least, None if ours is None else ours >= least, gap))
    return checks


def _value(curve: Curve | None, name: str, metric: str, bpp: float) -> tuple[float | None, str]:
    """The value of a curve at a rate, or why there is none."""
    points = curve.values(metric) if curve else []
    if len(points) < 2:
        return None, f"{name} was not measured"
    value = value_at(points, bpp)
    if value is not None:
        return value, ""
    if bpp < points[0][0]:
        return None, f"{name} has no files so small; its smallest are of {points[0][0]:.3f} bpp"
    return None, f"{name} was not measured at so many bytes; its largest files are of {points[-1][0]:.3f} bpp"


def write_checks() -> list[Check]:
    """Check the curves in `results/` and write one line per claim."""
    paths = [KODAK / f"{name}.json" for name in ("vqcodec", "jpeg", "webp", "avif")]
    paths += LIKE_PUBLISHED.glob("avif*.json")
    curves = [read_curve(path) for path in paths if path.exists()]
    checks = [*agreement(curves), *bars(curves)]
    with (KODAK / "checks.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["what", "measured", "reference", "holds", "note"])
        words = {True: "yes", False: "no", None: ""}
        for check in checks:
            numbers = ["" if value is None else f"{value:.4f}" for value in (check.measured, check.reference)]
            writer.writerow([check.what, *numbers, words[check.holds], check.note])
    return checks


if __name__ == "__main__":
    write_checks()
