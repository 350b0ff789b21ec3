"""Neural codecs of other authors, by CompressAI if it is installed."""

import struct
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vqcodec.evaluation.codecs.base import BenchCodec
from vqcodec.evaluation.metrics import to_tensor
from vqcodec.extras import MissingExtraError, require

_ALIGNMENT = 64  # sides must be multiples of this for the hyperprior models
_HEADER = struct.Struct("<HHBBB")  # width, height, quality, rows and columns of the hyperprior


class CompressAICodec(BenchCodec):
    """A hyperprior model of CompressAI's zoo with its published weights, in a minimal file format.

    Args:
        model: name in the zoo, such as `mbt2018-mean`.
        random_weights: use random weights. The pictures are then noise, but the speed is the same.

    Raises:
        MissingExtraError: CompressAI cannot be imported.
    """

    qualities = (1, 2, 3, 4)

    def __init__(self, model: str, random_weights: bool = False) -> None:
        compressai = require("compressai", "compressai", f"codec {model}", install="compressai torchvision")
        self._zoo = require(
            "compressai.zoo", "compressai", f"codec {model}", install="compressai torchvision"
        )
        self._model = model
        self._random_weights = random_weights
        # Of CompressAI's classes, which are not there to be named when it is not installed.
        self._networks: dict[int, Any] = {}
        self.name = f"{model}, random weights" if random_weights else model
        self.settings = f"CompressAI {compressai.__version__}"

    def _network(self, quality: int) -> Any:
        if quality not in self._networks:
            make = self._zoo.image_models[self._model]
            try:
                network = make(quality=quality, metric="mse", pretrained=not self._random_weights)
            except OSError as error:
                raise MissingExtraError(
                    f"codec {self._model}: its weights cannot be downloaded: {error}"
                ) from error
            network.eval().requires_grad_(False).update()
            self._networks[quality] = network
        return self._networks[quality]

    @torch.inference_mode()
    def compress(self, image: Image.Image, quality: float) -> bytes:
        padding = [-side % _ALIGNMENT for side in image.size]
        x = torch.nn.functional.pad(
            (to_tensor(image) + 1) / 2, (0, padding[0], 0, padding[1]), mode="replicate"
        )
        encoded = self._network(int(quality)).compress(x)
        (latents,), (side_information,) = encoded["strings"]
        header = _HEADER.pack(*image.size, int(quality), *encoded["shape"])
        return header + struct.pack("<I", len(side_information)) + side_information + latents

    @torch.inference_mode()
    def decompress(self, data: bytes) -> Image.Image:
        width, height, quality, rows, columns = _HEADER.unpack_from(data)
        start = _HEADER.size + 4
        end = start + struct.unpack_from("<I", data, _HEADER.size)[0]
        decoded = self._network(quality).decompress([[data[end:]], [data[start:end]]], (rows, columns))
        return _to_image(decoded["x_hat"][:, :, :height, :width])


def _to_image(x: Tensor) -> Image.Image:
    pixels = (x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().numpy())
