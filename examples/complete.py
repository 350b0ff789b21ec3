"""Take something out of a picture, and let the context model fill the place.

    python examples/complete.py PICTURE.jpg LEFT,TOP,WIDTH,HEIGHT OUT.vqc [SEED]

The region is in pixels. All latent positions that it touches are drawn anew, given those around them: the same seed
gives the same picture, another seed another one.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from vqcodec import Codec
from vqcodec.generate.inpaint import complete


def main(picture: str, region: str, out: str, seed: str = "0") -> None:
    codec = Codec.load()
    image = Image.open(picture)
    planes = codec.encode(image)
    left, top, width, height = (int(part) for part in region.split(","))
    step = codec.config.downsampling
    mask = np.zeros(planes.grid, bool)
    mask[top // step : -(-(top + height) // step), left // step : -(-(left + width) // step)] = True
    planes = complete(codec.prior, planes, mask, rng=np.random.default_rng(int(seed)))
    Path(out).write_bytes(codec.pack(planes, image.size))


if __name__ == "__main__":
    main(*sys.argv[1:])
