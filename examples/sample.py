"""Make up detail over the colours of a picture, index by index.

    python examples/sample.py PICTURE.jpg QUALITY TEMPERATURE OUT.vqc [SEED]

Only the base of the picture is kept, its colours at 1/16 of the resolution. All indices over it are drawn from the
context model as if they had that quality. It knows surfaces and edges, but no things. Below a temperature of 1 it keeps
to what is frequent, and pictures get plain.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from vqcodec import Codec
from vqcodec.generate.inpaint import sample


def main(picture: str, quality: str, temperature: str, out: str, seed: str = "0") -> None:
    codec = Codec.load()
    image = Image.open(picture)
    start = codec.encode(image, float(quality))
    planes = sample(codec.prior, start, float(temperature), np.random.default_rng(int(seed)))
    Path(out).write_bytes(codec.pack(planes, image.size))


if __name__ == "__main__":
    main(*sys.argv[1:])
