"""All metrics. To add one, write a `Measure` and add a line to `METRICS`."""

from __future__ import annotations

from vqcodec.evaluation.metrics.base import Metric
from vqcodec.evaluation.metrics.distances import (
    MS_SSIM_SMALLEST_SIDE,
    Ssimulacra2,
    load_dists,
    load_lpips,
    load_ms_ssim,
    load_psnr,
)
from vqcodec.evaluation.metrics.stlpips import SMALLEST_SIDE, StLpips

KID = Metric("kid", "KID of 64x64 patches (AlexNet of ST-LPIPS)", False)

METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr", "PSNR, RGB (dB)", True, load=load_psnr),
        Metric("ms-ssim", "MS-SSIM, RGB", True, MS_SSIM_SMALLEST_SIDE, load_ms_ssim),
        Metric("ssimulacra2", "SSIMULACRA2", True, 8, Ssimulacra2),
        Metric("st-lpips-alex", "ST-LPIPS (AlexNet)", False, SMALLEST_SIDE, lambda: StLpips("alex")),
        Metric("st-lpips-vgg", "ST-LPIPS (VGG16)", False, SMALLEST_SIDE, lambda: StLpips("vgg")),
        Metric("lpips-alex", "LPIPS (AlexNet)", False, 64, load_lpips),
        Metric("dists", "DISTS (VGG16)", False, 32, load_dists),
        KID,
    )
}
DEFAULT_METRICS = ("psnr", "ms-ssim", "ssimulacra2", "st-lpips-alex", "st-lpips-vgg", "kid")
