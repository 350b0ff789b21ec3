"""Neural image codec for low bit rates.

    >>> data = vqcodec.compress(image, quality=60)
    >>> picture = vqcodec.decompress(data)

`compress` and `decompress` share one codec, which is loaded on first use. `Codec.load()` creates a separate
one.
Importing the package does not import torch; using the codec does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image
    from typing_extensions import Buffer

    from vqcodec.codec import Codec

__version__ = "0.1.0"
__all__ = ["Codec", "compress", "decompress", "info"]


def compress(image: Image.Image, **options: Any) -> bytes:
    """Compress an image with the released model. See `Codec.compress` for options and errors."""
    return _default_codec().compress(image, **options)


def decompress(data: Buffer, **options: Any) -> Image.Image:
    """Decode a `.vqc` file made with the released model. See `Codec.decompress` for options and errors."""
    return _default_codec().decompress(data, **options)


def info(data: Buffer) -> dict[str, Any]:
    """Describe a `.vqc` file without a model and without torch. See `bitstream.info`."""
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
