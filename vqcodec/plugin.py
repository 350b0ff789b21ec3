"""Pillow plugin that reads and writes `.vqc` files. Importing this module registers the format.

>>> import vqcodec.plugin
>>> Image.open("photo.vqc").size
>>> image.save("photo.vqc", quality=60)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

import bitstream
from vqcodec.forks import surviving_lock
from vqcodec.image import metadata as meta

if TYPE_CHECKING:
    from vqcodec.codec import Codec

FORMAT = "VQC"
EXTENSION = ".vqc"
MIME = "image/x-vqc"

_SAVE_OPTIONS = {"quality", "bpp", "size", "icc_profile", "exif", "xmp", "model"}
_defaults: dict[str, Any] = {"model": None, "device": "cpu"}


def register_vqc_opener(*, model: str | os.PathLike | None = None, device: str = "cpu") -> None:
    """Register the format with Pillow, or change its defaults.

    Args:
        model: released model or model file. It decodes, and it encodes unless `save` names another model.
        device: torch device of the networks.
    """
    _defaults.update(model=model, device=device)
    Image.register_open(FORMAT, VqcImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, EXTENSION)
    Image.register_mime(FORMAT, MIME)


class VqcImageFile(ImageFile.ImageFile):
    """A `.vqc` file. Opening it reads the header and metadata; loading it decodes the picture.

    Damaged files raise `OSError`, as in other formats. If `ImageFile.LOAD_TRUNCATED_IMAGES` is set, truncated
    files are accepted. `Image.MAX_IMAGE_PIXELS` applies.
    """

    format = FORMAT
    format_description = "vqcodec neural image"

    def _open(self) -> None:
        self._loading = surviving_lock()
        assert self.fp is not None  # Pillow sets it before it calls this
        self._data = self.fp.read()
        with _damage_as_os_error():
            container = bitstream.read(
                self._data, allow_truncated=ImageFile.LOAD_TRUNCATED_IMAGES, verify_payload=False
            )
        header = container.header
        self._size = header.width, header.height
        self._mode = ("L" if header.grey else "RGB") + ("A" if container.has_alpha else "")
        self.info.update(meta.to_info(container.metadata))
        self.tile = [ImageFile._Tile("vqc", (0, 0, *self._size))]

    def verify(self) -> None:
        """Verify all checksums of the file without decoding it.

        Raises:
            OSError: the file is damaged.
        """
        with _damage_as_os_error():
            bitstream.read(self._data)
        super().verify()

    def load(self) -> Any:
        """Decode the picture. The first thread to arrive does so; later calls reuse the result.

        Raises:
            OSError: the file is damaged.
            vqcodec.errors.ModelError: the file was made with another model.
        """
        with self._loading:
            if self.tile:
                with _damage_as_os_error():
                    image = _codec(_defaults["model"]).decompress(
                        self._data, allow_truncated=ImageFile.LOAD_TRUNCATED_IMAGES, max_pixels=None
                    )
                self.im = image.im
                self.tile, self._data = [], b""
                if self._exclusive_fp and self.fp:
                    self.fp.close()
                self.fp = None
        return super().load()


@contextmanager
def _damage_as_os_error() -> Iterator[None]:
    try:
        yield
    except bitstream.BitstreamError as error:
        raise OSError(f"damaged .vqc file: {error}") from error


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(bitstream.MAGIC)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    options = dict(image.encoderinfo)
    unknown = sorted(set(options) - _SAVE_OPTIONS)
    if unknown:
        raise TypeError(
            f"unknown options for {FORMAT}: {', '.join(unknown)} (known: {', '.join(sorted(_SAVE_OPTIONS))})"
        )
    own = meta.of_image(image)
    kept = bitstream.Metadata(
        icc=options.pop("icc_profile", own.icc) or None,
        exif=meta.as_exif(options.pop("exif")) if "exif" in options else own.exif,
        xmp=meta.as_xmp(options.pop("xmp", own.xmp)),
    )
    codec = _codec(options.pop("model", _defaults["model"]))
    file.write(codec.compress(image, metadata=kept, **options))


def _codec(model: str | os.PathLike | None) -> Codec:
    from vqcodec.codec import default_codec

    return default_codec(model, _defaults["device"])


register_vqc_opener()
