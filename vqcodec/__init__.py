"""Neural image codec for low bit rates.

    >>> data = vqcodec.compress(image, quality=60)
    >>> picture = vqcodec.decompress(data)

`compress` and `decompress` use one codec that is loaded at first use; `Codec.load()` gives one of your own.
Importing the package does not import torch; using the codec does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from vqcodec.codec import Codec

__version__ = "0.1.0"
__all__ = ["Codec", "compress", "decompress", "info"]


def compress(image: Image.Image, **options: Any) -> bytes:
    """Compress an image with the released model; options as of `Codec.compress`."""
    return _default_codec().compress(image, **options)


def decompress(data: bytes, **options: Any) -> Image.Image:
    """Rebuild the image of a `.vqc` file made with the released model; options as of `Codec.decompress`."""
    return _default_codec().decompress(data, **options)


def info(data: bytes) -> dict[str, Any]:
    """What a `.vqc` file says of itself, without model or torch; see `bitstream.info`."""
    from bitstream import info as describe

    return describe(data)


def _default_codec() -> Codec:
    from vqcodec.codec import default_codec

    return default_codec()


def __getattr__(name: str) -> Any:
    if name == "Codec":
        from vqcodec.codec import Codec

        return Codec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
