"""Make the golden files of the released model: `python tests/golden/make_golden.py`.

Run it for new weights only. If the files change while the weights do not, files that users have no longer decode.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from vqcodec.codec import default_codec

HERE = Path(__file__).parent
QUALITIES = {"cat": 80, "coffee": 10, "temple": 50}


def main() -> None:
    codec = default_codec()
    for name, quality in QUALITIES.items():
        data = codec.compress(Image.open(HERE.parent / "data" / f"{name}.jpg"), quality=quality)
        (HERE / f"{name}.vqc").write_bytes(data)
        np.savez_compressed(HERE / f"{name}.npz", planes=codec.unpack(data))


if __name__ == "__main__":
    main()
