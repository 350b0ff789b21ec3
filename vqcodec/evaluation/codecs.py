"""The codecs that are compared, behind one small interface that anybody's codec can implement.

`docs/evaluation.md` shows one of ten lines.
"""

import importlib
import io
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image, features
from PIL import __version__ as pillow_version

from vqcodec.errors import RequestError, VqcodecError
from vqcodec.evaluation.extras import MissingExtraError, require


class Codec(ABC):
    """A codec with a quality setting.

    Attributes:
        name: what tables, plots and file names call it.
        qualities: the settings of a sweep, worst first.
        fine_qualities: settings to choose from when a file has to have a certain size, worst first;
            the sweep itself where a codec has none.
        settings: versions and fixed options; results made with other settings are never reused.
    """

    name: str
    qualities: Sequence[float]
    fine_qualities: Sequence[float] = ()
    settings: str = ""

    @abstractmethod
    def compress(self, image: Image.Image, quality: float) -> bytes:
        """A whole file of an RGB image; every byte of it counts."""

    @abstractmethod
    def decompress(self, data: bytes) -> Image.Image:
        """The RGB image of a file from `compress`, decoded from the file alone."""


class PillowCodec(Codec):
    """A format that Pillow writes and reads; metadata is not written."""

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
    """JPEG through libjpeg-turbo with Pillow's defaults: 4:2:0, standard Huffman tables."""

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
    """AVIF at speed 4 with Pillow's other defaults: 4:2:0, 8 bits."""

    name = "avif"
    format = "AVIF"
    options: ClassVar[dict[str, Any]] = {"speed": 4}
    qualities = (0, 5, 10, 16, 23, 30, 36)

    def __init__(self) -> None:
        if not features.check_module("avif"):
            raise MissingExtraError("codec avif: this build of Pillow has no AVIF support")
        self.settings = f"Pillow {pillow_version}, libavif {features.version_module('avif')}, speed 4"


class JpegXL(PillowCodec):
    """Lossy JPEG XL at effort 7, the default of libjxl and of pillow-jxl-plugin."""

    name = "jxl"
    format = "JXL"
    options: ClassVar[dict[str, Any]] = {"effort": 7}
    qualities = (0, 8, 20, 40)

    def __init__(self) -> None:
        require("pillow_jxl", "pillow-jxl-plugin", "codec jxl")
        self.settings = f"pillow-jxl-plugin {version('pillow-jxl-plugin')}, effort 7"


class VQCodec(Codec):
    """The codec of this package.

    Args:
        model: name or file of a model; the released one by default.
        faithful: whether to decompress with `realism=0`, instead of what the model has as its default.
    """

    name = "vqcodec"
    qualities = (0, 10, 20, 35, 55, 80)
    fine_qualities = range(0, 101)

    def __init__(self, model: str | None = None, faithful: bool = False) -> None:
        from vqcodec import __version__
        from vqcodec.codec import Codec as Model

        self._model = Model.load(model)
        self._realism = 0.0 if faithful else self._model.realism
        if model is not None:
            self.name = f"vqcodec@{Path(model).stem}"
        if faithful:
            self.name += "-faithful"
        model_id = self._model.model_id.hex()
        self.settings = f"vqcodec {__version__}, model {model_id}, realism {self._realism:g}"

    def compress(self, image: Image.Image, quality: float) -> bytes:
        return self._model.compress(image, quality)

    def decompress(self, data: bytes) -> Image.Image:
        return self._model.decompress(data, realism=self._realism).convert("RGB")


def _compressai(model: str) -> Callable[[], Codec]:
    def make() -> Codec:
        from vqcodec.evaluation.neural_peers import CompressAICodec

        return CompressAICodec(model)

    return make


CODECS: dict[str, Callable[[], Codec]] = {
    "vqcodec": VQCodec,
    "vqcodec-faithful": partial(VQCodec, faithful=True),
    "jpeg": Jpeg,
    "webp": WebP,
    "avif": Avif,
    "jxl": JpegXL,
    "mbt2018-mean": _compressai("mbt2018-mean"),
    "cheng2020-anchor": _compressai("cheng2020-anchor"),
}


def load_codec(name: str) -> Codec:
    """A codec by name from `CODECS`, another model as `vqcodec@FILE`, or anybody's as `module:Class`.

    Modules are looked for in the current directory too.

    Raises:
        RequestError: there is no such codec, it cannot be loaded, or it lacks part of the interface.
        MissingExtraError: a package that it needs is not installed.
    """
    if name in CODECS:
        return CODECS[name]()
    if name.startswith("vqcodec@"):
        return VQCodec(name.removeprefix("vqcodec@"))
    module_name, colon, attribute = name.partition(":")
    if not colon:
        raise RequestError(
            f"no codec {name!r}: choose from {', '.join(CODECS)}, vqcodec@FILE, or module:Class"
        )
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), attribute)
        codec = found() if isinstance(found, type) else found
    except VqcodecError:
        raise
    except Exception as error:
        # Whatever somebody else's code runs into while it is imported or loads its weights.
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise RequestError(f"codec {name!r} cannot be loaded: {text}") from error
    lacking = [part for part in ("name", "qualities", "compress", "decompress") if not hasattr(codec, part)]
    if lacking:
        raise RequestError(f"codec {name!r} lacks {', '.join(lacking)}; see vqcodec.evaluation.codecs.Codec")
    return codec


def quality_for_size(
    codec: Codec, image: Image.Image, size: int, at_least: bool = True
) -> tuple[float, bytes]:
    """The file whose size is nearest to a given one from above, or from below.

    Sizes are taken to grow with quality, so a binary search over `fine_qualities` finds it.

    Args:
        codec: any codec.
        image: RGB.
        size: bytes.
        at_least: whether the file may not be smaller than `size`; otherwise it may not be larger.

    Returns:
        the quality and the file; where no file qualifies, the largest (or smallest) there is.
    """
    choices = list(codec.fine_qualities or codec.qualities)
    files: dict[int, bytes] = {}

    def file_at(index: int) -> bytes:
        if index not in files:
            files[index] = codec.compress(image, choices[index])
        return files[index]

    low, high = 0, len(choices) - 1
    while low < high:
        if at_least:
            middle = (low + high) // 2
            low, high = (low, middle) if len(file_at(middle)) >= size else (middle + 1, high)
        else:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if len(file_at(middle)) <= size else (low, middle - 1)
    return choices[low], file_at(low)
