"""How near a concealed tile comes to the original: `python -m benchmarks.studies.conceal PHOTOGRAPHS`.

Each picture is packed in tiles of 256x256 pixels, and the one in the middle is destroyed. Its pixels as `decompress`
conceals them are compared with the original's, beside the same tile undamaged and filled with the mean colour of the
tiles around it. Writes `results/conceal.csv`, and mean values, machine and versions to `results/conceal.json`.
"""

import csv
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

import bitstream
from bitstream import Header
from vqcodec.codec import Codec
from vqcodec.errors import ConcealedWarning
from vqcodec.evaluation.environment import write_environment
from vqcodec.evaluation.metrics import Scorer
from vqcodec.geometry import Box
from vqcodec.image.find import pictures_below

RESULTS = Path(__file__).parents[1] / "results"
QUALITY = 50
TILE_LOG2 = 4  # 16x16 latent positions
METRICS = ("st-lpips-alex", "st-lpips-vgg")
FILLS = ("intact", "concealed", "mean colour")


def in_tiles(codec: Codec, image: Image.Image, quality: float, tile_log2: int) -> bytes:
    """A file with smaller tiles than `Codec.compress` makes."""
    planes = codec.encode(image, quality)
    header = Header(
        *image.size,
        codec.model_id,
        planes.stages,
        planes.rate,
        codec.config.downsampling.bit_length() - 1,
        tile_log2,
    )
    parts = [planes.part(Box.of_tile(header.tile(number))) for number in range(header.tiles)]
    return bitstream.write(header, codec.packing.coder.write(parts))


def destroyed(data: bytes, tile: int, stage: int = 0, intact: bytes | None = None) -> bytes:
    """The file with the bytes of one tile in one stage changed.

    The first four of a later stage are left: the last indices of the stage before may be read with them.

    Args:
        intact: the file as it was, if `data` is damaged already.
    """
    part = bytes(bitstream.read(intact or data).payload.slice(tile, stage))
    if data.count(part) != 1:
        raise ValueError(f"the {len(part)} bytes of tile {tile}, stage {stage} cannot be found in the file")
    kept = 4 if stage else 0
    return data.replace(part, part[:kept] + bytes(byte ^ 0xFF for byte in part[kept:]))


def fills(
    codec: Codec, image: Image.Image, tile_log2: int
) -> tuple[tuple[int, int, int, int], dict[str, Image.Image]]:
    """The pictures with the middle tile intact, concealed and in the mean colour of those around it, and its place.

    Returns:
        left, top, right and bottom of the tile, and the pictures by name.
    """
    data = in_tiles(codec, image, QUALITY, tile_log2)
    header = bitstream.read_header(data)
    rows, columns = header.tile_grid
    number = rows // 2 * columns + columns // 2
    side = codec.config.downsampling << tile_log2
    left, top = columns // 2 * side, rows // 2 * side
    box = left, top, min(left + side, image.width), min(top + side, image.height)
    pictures = {"intact": codec.decompress(data)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConcealedWarning)
        pictures["concealed"] = codec.decompress(destroyed(data, number), conceal=True)
    pixels = np.array(pictures["intact"])
    outside = np.zeros(pixels.shape[:2], bool)
    outside[max(top - side, 0) : top + 2 * side, max(left - side, 0) : left + 2 * side] = True
    outside[top : top + side, left : left + side] = False
    pixels[top : top + side, left : left + side] = pixels[outside].mean(0).round()
    pictures["mean colour"] = Image.fromarray(pixels)
    return box, pictures


def main(folder: str) -> None:
    """Measure every photograph, and write the table and its means."""
    codec, scorer = Codec.load(), Scorer(METRICS)
    rows = []
    for path in pictures_below(Path(folder)):
        with Image.open(path) as photograph:
            image = photograph.convert("RGB")
        box, pictures = fills(codec, image, TILE_LOG2)
        reference = scorer.reference(image.crop(box))
        row: dict[str, str | float] = {
            "picture": path.name,
            "tile": f"{box[2] - box[0]}x{box[3] - box[1]}",
        }
        for name, picture in pictures.items():
            scores = scorer.score(reference, picture.crop(box))
            row |= {f"{metric} {name}": round(scores[metric], 4) for metric in METRICS}
        rows.append(row)
        print(row, flush=True)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "conceal.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    said: dict[str, object] = {"pictures": len(rows)}
    for metric in METRICS:
        said[metric] = {
            name: round(float(np.mean([row[f"{metric} {name}"] for row in rows])), 4) for name in FILLS
        }
        nearer = sum(row[f"{metric} concealed"] < row[f"{metric} mean colour"] for row in rows)
        said[f"{metric}: concealed is nearer than mean colour"] = f"{nearer} of {len(rows)} pictures"
    said |= {"model": codec.model_id.hex(), "quality": QUALITY}
    write_environment(RESULTS / "conceal.json", said)


if __name__ == "__main__":
    main(*sys.argv[1:])
