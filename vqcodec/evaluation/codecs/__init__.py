"""The codecs to compare, by name."""

import importlib
import os
import sys
from collections.abc import Callable

from vqcodec.errors import RequestError, VqcodecError
from vqcodec.evaluation.codecs.base import BenchCodec, quality_for_size
from vqcodec.evaluation.codecs.classical import Avif, Jpeg, JpegXL, WebP

__all__ = ["CODECS", "BenchCodec", "load_codec", "quality_for_size"]


def _own(model: str | None = None, faithful: bool = False) -> Callable[[], BenchCodec]:
    def make() -> BenchCodec:
        from vqcodec.evaluation.codecs.own import VQCodec

        return VQCodec(model, faithful)

    return make


def _compressai(model: str) -> Callable[[], BenchCodec]:
    def make() -> BenchCodec:
        from vqcodec.evaluation.codecs.compressai import CompressAICodec

        return CompressAICodec(model)

    return make


CODECS: dict[str, Callable[[], BenchCodec]] = {
    "vqcodec": _own(),
    "vqcodec-faithful": _own(faithful=True),
    "jpeg": Jpeg,
    "webp": WebP,
    "avif": Avif,
    "jxl": JpegXL,
    "mbt2018-mean": _compressai("mbt2018-mean"),
    "cheng2020-anchor": _compressai("cheng2020-anchor"),
}


def load_codec(name: str) -> BenchCodec:
    """Load a codec by name from `CODECS`, another model as `vqcodec@FILE`, or your own as `module:Class`.

    Modules are also searched for in the current directory.

    Raises:
        RequestError: the codec does not exist, cannot be loaded, or lacks part of the interface.
        MissingExtraError: a package that it needs is not installed.
    """
    if name in CODECS:
        return CODECS[name]()
    if name.startswith("vqcodec@"):
        return _own(name.removeprefix("vqcodec@"))()
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
        # Third-party code can fail in any way while it is imported or loads its weights.
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise RequestError(f"codec {name!r} cannot be loaded: {text}") from error
    lacking = [part for part in ("name", "qualities", "compress", "decompress") if not hasattr(codec, part)]
    if lacking:
        raise RequestError(
            f"codec {name!r} lacks {', '.join(lacking)}; see vqcodec.evaluation.codecs.BenchCodec"
        )
    return codec
