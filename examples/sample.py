"""Make up a whole picture, index by index.

    python examples/sample.py WIDTHxHEIGHT TEMPERATURE OUT.vqc [SEED]

Every latent position is drawn from the context model, which sees the positions next to it and nothing beyond them: it
knows surfaces and edges, but no things. Below a temperature of 1 it keeps to what is frequent, and pictures get plain.
"""

import sys
from pathlib import Path

import numpy as np

from vqcodec import Codec
from vqcodec.generate.inpaint import sample


def main(size: str, temperature: str, out: str, seed: str = "0") -> None:
    codec = Codec.load()
    width, height = (int(side) for side in size.split("x"))
    step = codec.config.downsampling
    rng = np.random.default_rng(int(seed))
    planes = sample(codec.prior, -(-height // step), -(-width // step), float(temperature), rng)
    Path(out).write_bytes(codec.pack(planes, (width, height)))


if __name__ == "__main__":
    main(*sys.argv[1:])
