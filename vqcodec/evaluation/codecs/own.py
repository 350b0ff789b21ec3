"""The codec of this package, as one of the codecs to measure."""

from pathlib import Path

from PIL import Image

from vqcodec import __version__
from vqcodec.codec import Codec
from vqcodec.evaluation.codecs.base import BenchCodec


class VQCodec(BenchCodec):
    """The codec of this package.

    Args:
        model: name or file of a model; the released one by default.
        faithful: decompress with `realism=0` instead of the model's default.

    Raises:
        vqcodec.errors.ModelError: the model is missing or damaged.
    """

    name = "vqcodec"
    qualities = (0, 15, 30, 45, 60, 80, 100)
    fine_qualities = range(0, 101)

    def __init__(self, model: str | None = None, faithful: bool = False) -> None:
        self._codec = Codec.load(model)
        self._realism = 0.0 if faithful else self._codec.transform.realism
        if model is not None:
            self.name = f"vqcodec@{Path(model).stem}"
        if faithful:
            self.name += "-faithful"
        model_id = self._codec.model_id.hex()
        self.settings = f"vqcodec {__version__}, model {model_id}, realism {self._realism:g}"

    def compress(self, image: Image.Image, quality: float) -> bytes:
        return self._codec.compress(image, quality)

    def decompress(self, data: bytes) -> Image.Image:
        return self._codec.decompress(data, realism=self._realism).convert("RGB")
