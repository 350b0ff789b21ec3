"""The formats that Pillow writes."""

import io
from importlib.metadata import version
from typing import Any, ClassVar

from PIL import Image, features
from PIL import __version__ as pillow_version

from vqcodec.evaluation.codecs.base import BenchCodec
from vqcodec.extras import MissingExtraError, require


class PillowCodec(BenchCodec):
    """A format that Pillow writes and reads, without metadata."""

    format: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    fine_qualities = range(0, 101)

    def compress(self, image: Image.Image, quality: float) -> bytes:
        file = io.BytesIO()
        image.save(file, self.format, quality=int(quality), **self.options)
        return file.getvalue()

    def decompress(self, data: bytes) -> Image.Image:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")


class Jpeg(PillowCodec):
    """JPEG by libjpeg-turbo with Pillow's defaults: 4:2:0, standard Huffman tables."""

    name = "jpeg"
    format = "JPEG"
    qualities = (1, 5, 10, 20)

    def __init__(self) -> None:
        library = features.version_feature("libjpeg_turbo") or features.version_codec("jpg")
        self.settings = f"Pillow {pillow_version}, libjpeg-turbo {library}"


class WebP(PillowCodec):
    """Lossy WebP with Pillow's defaults: method 4, 4:2:0."""

    name = "webp"
    format = "WEBP"
    qualities = (0, 5, 10, 20)

    def __init__(self) -> None:
        self.settings = f"Pillow {pillow_version}, libwebp {features.version_module('webp')}, method 4"


class Avif(PillowCodec):
    """AVIF at speed 4 with Pillow's other defaults: 4:2:0, 8 bits.

    Raises:
        MissingExtraError: this build of Pillow has no AVIF support.
    """

    name = "avif"
    format = "AVIF"
    options: ClassVar[dict[str, Any]] = {"speed": 4}
    qualities = (0, 5, 10, 16, 23, 30, 36, 46, 56)

    def __init__(self) -> None:
        if not features.check_module("avif"):
            raise MissingExtraError("codec avif: this build of Pillow has no AVIF support")
        self.settings = f"Pillow {pillow_version}, libavif {features.version_module('avif')}, speed 4"


class JpegXL(PillowCodec):
    """Lossy JPEG XL at effort 7, the default of libjxl and of pillow-jxl-plugin.

    Raises:
        MissingExtraError: `pillow-jxl-plugin` is not installed.
    """

    name = "jxl"
    format = "JXL"
    options: ClassVar[dict[str, Any]] = {"effort": 7}
    qualities = (0, 8, 20, 40)

    def __init__(self) -> None:
        require("pillow_jxl", "pillow-jxl-plugin", "codec jxl")
        self.settings = f"pillow-jxl-plugin {version('pillow-jxl-plugin')}, effort 7"
