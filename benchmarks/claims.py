"""What the results have to show: agreement with published curves, and the codec against AVIF."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqcodec.evaluation.bdrate import value_at
from vqcodec.evaluation.metrics import METRICS
from vqcodec.evaluation.results import Curve, read_curve

PUBLISHED = Path(__file__).parent / "published"


@dataclass(frozen=True)
class Check:
    """A measured number beside the one it is held against.

    Attributes:
        what: in words.
        measured: None where the curve does not reach the rate.
        reference: likewise.
        holds: whether it is as it should be; None where nothing is asked or it cannot be said.
    """

    what: str
    measured: float | None
    reference: float | None
    holds: bool | None


def agreement(curves: Sequence[Curve]) -> list[Check]:
    """PSNR of JPEG, WebP and AVIF beside CompressAI's published Kodak curves, at the rates measured here.

    JPEG and WebP have to be within 0.3 dB. AVIF is shown beside the AV1 reference encoder's curve without
    being held to it: that one is cpu-used 0, two passes, tuned for PSNR, 4:4:4, while Pillow's is speed 4,
    4:2:0, with libavif's own tuning for still pictures.
    """
    checks = []
    for name, published, limit in (("jpeg", "jpeg", 0.3), ("webp", "webp", 0.3), ("avif", "av1", None)):
        reference = read_curve(PUBLISHED / f"{published}.json").values("psnr")
        for curve in curves:
            for bpp, psnr in curve.values("psnr") if curve.name == name else ():
                expected = value_at(reference, bpp)
                if expected is not None:
                    holds = None if limit is None else abs(psnr - expected) <= limit
                    what = f"PSNR of {name} at {bpp:.3f} bpp, published {published.upper()} at the same rate"
                    checks.append(Check(what, psnr, expected, holds))
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

    Where AVIF's smallest files are larger than the rate asked for, its value there is taken, in its favour.
    """
    by_name = {curve.name: curve for curve in curves}
    checks = []
    for name, bpp, avif_bpp in _AGAINST_AVIF:
        ours = _value(by_name.get("vqcodec"), name, bpp)
        avif_curve = by_name.get("avif")
        if avif_curve and avif_curve.values(name):
            avif_bpp = max(avif_bpp, avif_curve.values(name)[0][0])
        avif = _value(avif_curve, name, avif_bpp)
        holds = None if ours is None or avif is None else ours <= avif
        what = f"{METRICS[name].label}, vqcodec at {bpp:.2f} bpp, AVIF at {avif_bpp:.3f} bpp"
        checks.append(Check(what, ours, avif, holds))
    for name, bpp, least in _LEAST:
        ours = _value(by_name.get("vqcodec"), name, bpp)
        what = f"{METRICS[name].label}, vqcodec at {bpp:.2f} bpp, at least"
        checks.append(Check(what, ours, least, None if ours is None else ours >= least))
    return checks


def _value(curve: Curve | None, metric: str, bpp: float) -> float | None:
    points = curve.values(metric) if curve else []
    return value_at(points, bpp) if len(points) > 1 else None
