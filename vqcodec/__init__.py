"""Neural image codec for low bit rates.

    >>> data = vqcodec.compress(image, quality=60)
    >>> picture = vqcodec.decompress(data)

`compress` and `decompress` share one codec, which is loaded on first use. `Codec.load()` creates a separate
one. Importing the package loads next to nothing, and only large pictures load torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from vqcodec.codec import Codec
    from vqcodec.contents import FileLike
    from vqcodec.image.inputs import ImageLike

__version__ = "0.1.0"
__all__ = ["Codec", "FileLike", "ImageLike", "compress", "decompress", "info"]


def compress(image: ImageLike, **options: Any) -> bytes:
    """Compress an image of any kind with the released model. See `Codec.compress` for options and errors."""
    return _default_codec().compress(image, **options)


def decompress(data: FileLike, **options: Any) -> Image.Image:
    """Decode a `.vqc` file made with the released model. See `Codec.decompress` for options and errors."""
    return _default_codec().decompress(data, **options)


def info(data: FileLike) -> dict[str, Any]:
    """Describe a `.vqc` file without a model and without torch. See `bitstream.info`.

    Args:
        data: path, open file or contents of the file.

    Raises:
        bitstream.BitstreamError: the file is damaged.
        vqcodec.errors.ImageError: the file cannot be opened or read.
    """
    from bitstream import info as describe
    from vqcodec.contents import contents

    return describe(contents(data))


def _default_codec() -> Codec:
    from vqcodec.codec import default_codec

    return default_codec()


def __getattr__(name: str) -> Any:
    if name == "Codec":
        from vqcodec.codec import Codec

        return Codec
    if name == "ImageLike":
        from vqcodec.image.inputs import ImageLike

        return ImageLike
    if name == "FileLike":
        from vqcodec.contents import FileLike

        return FileLike
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
