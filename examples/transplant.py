"""Put the upper part of one picture over the lower part of another, without encoding the result again.

    python examples/transplant.py GROUND.jpg SKY.jpg OUT.vqc

Both pictures become indices, the indices of the sky replace those of the ground, and the file is written from
them. The generator joins the two over the reach of its convolutions.
"""

import sys
from pathlib import Path

from PIL import Image

from vqcodec import Codec
from vqcodec.edit import transplant
from vqcodec.geometry import Box


def main(ground: str, sky: str, out: str) -> None:
    codec = Codec.load()
    below = Image.open(ground)
    target = codec.encode(below)
    donor = codec.encode(Image.open(sky).resize(below.size))
    rows, columns = target.grid
    planes = transplant(target, donor, Box(0, 0, columns, rows // 2))
    Path(out).write_bytes(codec.pack(planes, below.size))


if __name__ == "__main__":
    main(*sys.argv[1:])
