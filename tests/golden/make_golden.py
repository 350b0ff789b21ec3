"""Make golden files of the released model: `python tests/golden/make_golden.py`.

Run it for new weights only. If files change while the weights do not, files that users have no longer decode.
"""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from vqcodec.codec import Codec

HERE = Path(__file__).parent
QUALITIES = {"cat": 80, "coffee": 10, "temple": 50}


def main() -> None:
    codec = Codec.load()
    for old in HERE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    out = HERE / codec.model_id.hex()
    out.mkdir()
    for name, quality in QUALITIES.items():
        data = codec.compress(Image.open(HERE.parent / "data" / f"{name}.jpg"), quality=quality)
        (out / f"{name}.vqc").write_bytes(data)
        planes = codec.unpack(data)
        layers = {f"layer{number}": plane for number, plane in enumerate(planes.layers)}
        np.savez_compressed(
            out / f"{name}.npz", rate=planes.rate, base=planes.base, steps=planes.steps, **layers
        )


if __name__ == "__main__":
    main()
