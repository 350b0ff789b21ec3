"""What rate-aware training and a context model save: `python -m benchmarks.fixed_length KODAK FIXED RATE_AWARE`.

The model FIXED was trained by `benchmarks/fixed-length.json`, which never charges for bits:

    vqcodec train --data PHOTOGRAPHS --recipe benchmarks/fixed-length.json --out RUN
    vqcodec release RUN --data PHOTOGRAPHS -o FIXED

Its rates are those of its first 1 to 8 stages with every index at its full length and nothing else in the file. Those
of the model RATE_AWARE, trained as long with the same losses but for the price of bits, are whole files, decompressed
by the generator that was not trained adversarially either. The weights `b055e347`, which the repository held before
the present ones, are such a model.
"""

import csv
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from vqcodec.codec import Codec
from vqcodec.evaluation.bdrate import bd_rate
from vqcodec.evaluation.metrics import METRICS, Scorer

RESULTS = Path(__file__).parent / "results"
NAMES = ("psnr", "ms-ssim", "st-lpips-vgg", "st-lpips-alex")
QUALITIES = (0, 12, 25, 40, 55, 70, 85, 100)
PLAINEST = ("kodim03", "kodim12", "kodim20", "kodim23")
FIXED, CONTEXT, RATE_AWARE = "fixed-length", "fixed-length and context", "rate-aware"

Point = tuple[float, dict[str, float]]


@click.command()
@click.argument("kodak", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("fixed", type=click.Path(exists=True, dir_okay=False))
@click.argument("rate_aware", type=click.Path(exists=True, dir_okay=False))
def main(kodak: Path, fixed: str, rate_aware: str) -> None:
    """Compare a model that was trained with a price of bits with one that was trained without."""
    codecs = Codec.load(fixed), Codec.load(rate_aware)
    scorer = Scorer(NAMES)
    rows, savings = [], []
    for path in tqdm(sorted(kodak.glob("*.png")), unit="image", disable=None):
        with Image.open(path) as image:
            image.load()
        curves = measure(image, scorer, *codecs)
        for name, points in curves.items():
            rows += [(path.stem, name, bpp, *(values[metric] for metric in NAMES)) for bpp, values in points]
        savings += [(path.stem, *saving) for saving in compare(curves)]
    write(RESULTS / "fixed-length-points.csv", ("image", "what", "bpp", *NAMES), rows)
    write(RESULTS / "fixed-length.csv", ("images", "what", "metric", "saved", "overlap"), summarise(savings))


def measure(image: Image.Image, scorer: Scorer, fixed: Codec, rate_aware: Codec) -> dict[str, list[Point]]:
    """Rate and quality of a picture with every number of stages, and at the qualities of the rate-aware model."""
    pixels = image.width * image.height
    reference = scorer.reference(image)
    curves: dict[str, list[Point]] = defaultdict(list)
    planes = fixed.quantize(fixed.latents(np.asarray(image.convert("RGB"))), 0.0)
    bits = np.log2(fixed.model.config.codebook_size)
    for count in range(1, len(planes) + 1):
        part = planes[:count]
        values = scorer.score(reference, fixed.decode(part, image.size))
        curves[FIXED].append((part.size * bits / pixels, values))
        curves[CONTEXT].append((8 * len(fixed.pack(part, image.size)) / pixels, values))
    for quality in QUALITIES:
        data = rate_aware.compress(image, quality)
        values = scorer.score(reference, rate_aware.decompress(data, realism=0.0))
        curves[RATE_AWARE].append((8 * len(data) / pixels, values))
    return curves


def compare(curves: dict[str, list[Point]]) -> list[tuple[str, str, float, float]]:
    """Share of the bytes of fixed-length indices that is saved at equal quality, and of qualities compared."""
    savings = []
    for name in (CONTEXT, RATE_AWARE):
        for metric in NAMES:
            anchor, codec = (
                [(bpp, values[metric]) for bpp, values in curves[which]] for which in (FIXED, name)
            )
            rate = bd_rate(anchor, codec, METRICS[metric].higher_is_better)
            if rate is not None:
                savings.append((name, metric, -rate.percent / 100, rate.overlap))
    return savings


def summarise(savings: list[tuple[str, str, str, float, float]]) -> list[tuple[str, str, str, float, float]]:
    rows = []
    for images, chosen in (("all", None), ("plainest", PLAINEST)):
        groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for image, name, metric, saved, overlap in savings:
            if chosen is None or image in chosen:
                groups[name, metric].append((saved, overlap))
        rows += [(images, *key, *np.mean(values, 0)) for key, values in groups.items()]
    return rows


def write(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in rows:
            writer.writerow([f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row])


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
