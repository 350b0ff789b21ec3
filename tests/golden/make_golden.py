"""Make golden files of the released model: `python tests/golden/make_golden.py`.

Run it for new weights only; the files of earlier weights stay. If files change while the weights do not, files that
users have no longer decode. Beside the files stands all that their indices are coded with.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from vqcodec.codec import Codec
from vqcodec.model.context import EIGHT_BIT
from vqcodec.weights import load_model

HERE = Path(__file__).parent
QUALITIES = {"cat": 80, "coffee": 10, "temple": 50}


def main() -> None:
    file = load_model()
    codec = Codec(file)
    out = HERE / file.model_id.hex()
    out.mkdir(exist_ok=True)
    for name, quality in QUALITIES.items():
        data = codec.compress(Image.open(HERE.parent / "data" / f"{name}.jpg"), quality=quality)
        (out / f"{name}.vqc").write_bytes(data)
        np.savez_compressed(out / f"{name}.npz", planes=codec.unpack(data))
    tensors = {
        name: tensor.to(torch.int8 if name in EIGHT_BIT else torch.int32)
        for name, tensor in file.context.tensors().items()
    }
    save_file(tensors, out / "context.safetensors")


if __name__ == "__main__":
    main()
