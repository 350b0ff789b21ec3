"""How much of a grid there is in decoded pictures: `python -m benchmarks.studies.grid PHOTOGRAPHS`.

A generator that draws texture without noise is tempted to draw the same in every cell of its own grid. Averaged over
like pixels of neighbouring cells, such texture stays, while any other averages out. The variance of what stays is
compared with that of the original, for cells of the generator's steps and of a pixel less and more: where a step stands
out from its neighbours, there is a grid. Writes `results/grid.csv`, machine and versions to `results/grid.json`.
"""

import csv
import sys
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from vqcodec.codec import Codec
from vqcodec.evaluation.environment import write_environment
from vqcodec.image.find import pictures_below

RESULTS = Path(__file__).parents[1] / "results"
QUALITIES = (10, 50)
REALISMS = (0, 1)
VARIANTS = tuple(product(QUALITIES, REALISMS))
PERIODS = (3, 4, 5, 7, 8, 9, 15, 16, 17)
# Cells along each edge of the windows that are averaged over.
CELLS = 4


def repeating_variance(pixels: np.ndarray, period: int) -> float:
    """Variance of the pixels (H, W, 3) averaged over like places in windows of 4 x 4 cells of `period` pixels.

    What is left beyond the last whole window does not count.
    """
    rows, columns = (side // (period * CELLS) for side in pixels.shape[:2])
    whole = pixels[: rows * CELLS * period, : columns * CELLS * period].astype(np.float64)
    cells = whole.reshape(rows, CELLS, period, columns, CELLS, period, -1).mean((1, 4))
    return float(cells.var((1, 3)).mean())


def variances(codec: Codec, image: Image.Image) -> np.ndarray:
    """Variances at all periods, of the original in the first row and of all variants in the others."""
    packed = [codec.compress(image, quality=quality) for quality in QUALITIES]
    decoded = [codec.decompress(data, realism=realism) for data, realism in product(packed, REALISMS)]
    return np.array(
        [[repeating_variance(np.asarray(x), period) for period in PERIODS] for x in (image, *decoded)]
    )


def main(folder: str) -> None:
    """Measure every photograph at every setting, and write the table."""
    codec = Codec.load()
    paths = pictures_below(Path(folder))
    total = np.zeros((1 + len(VARIANTS), len(PERIODS)))
    for path in paths:
        with Image.open(path) as photograph:
            total += variances(codec, photograph.convert("RGB"))
        print(path.name, flush=True)
    with (RESULTS / "grid.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["quality", "realism", *PERIODS])
        for variant, shares in zip(VARIANTS, total[1:] / total[0], strict=True):
            writer.writerow([*variant, *(f"{share:.3f}" for share in shares)])
    write_environment(RESULTS / "grid.json", {"pictures": len(paths), "model": codec.model_id.hex()})


if __name__ == "__main__":
    main(*sys.argv[1:])
