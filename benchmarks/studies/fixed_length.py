"""What rate-aware training saves: `python -m benchmarks.studies.fixed_length KODAK FIXED RATE_AWARE`.

Both models go on from the same weights, `b4605443` with the generator for realism 0, as many steps with the same
losses. RATE_AWARE (`rate-aware.json`) is charged for bits, FIXED (`fixed-length.json`) never is:

    vqcodec train --data PHOTOGRAPHS --recipe benchmarks/studies/fixed-length.json --start b4605443.safetensors
        --out RUN
    vqcodec release RUN --data PHOTOGRAPHS -o FIXED

Without a price there is nothing that a commitment loss could spare, so its weight is 0.6 there, not 2; and numbers of
stages are the only way to lower rates, so more crops have fewer than all.

The rates of FIXED are those of its first 1 to 8 stages, searched for each number by itself, with every index at its
full length and nothing else in the file. Those of RATE_AWARE are whole files.
"""

import csv
from collections import defaultdict
from functools import cache
from pathlib import Path

import click
import numpy as np
from PIL import Image
from tqdm import tqdm

from vqcodec.codec import Codec
from vqcodec.evaluation.metrics import METRICS, Scorer
from vqcodec.evaluation.pool import in_processes
from vqcodec.evaluation.report.bdrate import bd_rate

RESULTS = Path(__file__).parents[1] / "results"
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
    tasks = [(path, fixed, rate_aware) for path in sorted(kodak.glob("*.png"))]
    results = dict(
        tqdm(in_processes(measure, tasks, workers=2), total=len(tasks), unit="image", disable=None)
    )
    rows, savings = [], []
    for task in tasks:
        image, curves = task[0].stem, results[task]
        for name, points in curves.items():
            rows += [(image, name, bpp, *(values[metric] for metric in NAMES)) for bpp, values in points]
        savings += [(image, *saving) for saving in compare(curves)]
    write(RESULTS / "fixed-length-points.csv", ("image", "what", "bpp", *NAMES), rows)
    write(RESULTS / "fixed-length.csv", ("images", "what", "metric", "saved", "overlap"), summarise(savings))


@cache
def tools(fixed: str, rate_aware: str) -> tuple[Scorer, Codec, Codec]:
    """Load the scorer and both codecs, once per process."""
    return Scorer(NAMES), Codec.load(fixed), Codec.load(rate_aware)


def measure(task: tuple[Path, str, str]) -> dict[str, list[Point]]:
    """Rate and quality of a picture with every number of stages, and at the qualities of the rate-aware model.

    Args:
        task: the picture, and both models.
    """
    path, *models = task
    scorer, fixed, rate_aware = tools(*models)
    with Image.open(path) as image:
        image.load()
    pixels = image.width * image.height
    reference = scorer.reference(image)
    curves: dict[str, list[Point]] = {FIXED: [], CONTEXT: [], RATE_AWARE: []}
    latents = fixed.transform.latents(np.asarray(image.convert("RGB")))
    rows, columns, dim = latents.shape
    bits = np.log2(fixed.model.config.codebook_size)
    for count in range(1, fixed.model.config.stages + 1):
        chosen = fixed.model.quantizer.choose(latents.reshape(-1, dim), stages=count)
        planes = chosen.T.reshape(count, rows, columns).numpy().astype(np.uint16)
        values = scorer.score(reference, fixed.decode(planes, image.size))
        curves[FIXED].append((planes.size * bits / pixels, values))
        curves[CONTEXT].append((8 * len(fixed.pack(planes, image.size)) / pixels, values))
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
    """Mean savings by set of pictures and kind of coding."""
    rows = []
    for images, chosen in (("all", None), ("plainest", PLAINEST)):
        groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for image, name, metric, saved, overlap in savings:
            if chosen is None or image in chosen:
                groups[name, metric].append((saved, overlap))
        rows += [(images, *key, *np.mean(values, 0)) for key, values in groups.items()]
    return rows


def write(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    """Write rows to a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in rows:
            writer.writerow([f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row])


if __name__ == "__main__":
    main()
