"""Pillow plugin that reads and writes `.vqc` files. Importing this module registers the format.

>>> import vqcodec.plugin
>>> Image.open("photo.vqc").size
>>> image.save("photo.vqc", quality=60)
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

import bitstream
from vqcodec.errors import LossWarning, caller
from vqcodec.forks import surviving_lock
from vqcodec.image import metadata as meta

if TYPE_CHECKING:
    from vqcodec.codec import Codec

FORMAT = "VQC"
EXTENSION = ".vqc"
MIME = "image/x-vqc"

_SAVE_OPTIONS = {"quality", "bpp", "size", "icc_profile", "exif", "xmp", "model"}
# Options of Pillow's other formats. Programs pass them whatever the format, and here they change nothing.
_OF_OTHERS = {
    *("adobe_transform", "advanced", "allow_mixed", "alpha_premultiplied", "alpha_quality", "append"),
    *(
        "autotiling",
        "background",
        "big_tiff",
        "bitmap_format",
        "bits",
        "blend",
        "cinema_mode",
        "codeblock_size",
    ),
    *("codec", "compress_level", "compress_type", "compression", "default_image", "dictionary", "disposal"),
    *("dpi", "duration", "exact", "include_color_table", "interlace", "irreversible", "keep_rgb", "kmax"),
    *("kmin", "loop", "max_threads", "mct", "method", "minimize_size", "no_jp2", "num_resolutions", "offset"),
    *("optimize", "orientation", "palette", "pixel_format", "plt", "precinct_size", "progression"),
    *("progressive", "qtables", "quality_layers", "quality_mode", "range", "resolution", "resolution_unit"),
    *("restart_marker_blocks", "restart_marker_rows", "rle", "signed", "sizes", "smooth", "speed"),
    *("streamtype", "strip_size", "subsampling", "tile_cols", "tile_offset", "tile_rows", "tile_size"),
    *("timestamp", "x_resolution", "y_resolution"),
}
_ONE_PICTURE = "a .vqc file holds one picture"
_METADATA = "a .vqc file keeps ICC profile, EXIF and XMP"
# Options of other formats that ask for something which is not done, and why not.
_NOT_DONE = {
    "lossless": "every .vqc file is lossy",
    "append_images": _ONE_PICTURE,
    "transparency": "give the image an alpha channel",
    **dict.fromkeys(("comment", "pnginfo", "tiffinfo", "id_section"), _METADATA),
    **dict.fromkeys(("artist", "copyright", "date_time", "description", "software"), _METADATA),
}
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
    # Of several frames, the current one is saved, with a warning.
    Image.register_save_all(FORMAT, _save)
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
    from vqcodec.image.picture import metadata_of

    options = _own_options(image.encoderinfo)
    own = metadata_of(image)
    kept = bitstream.Metadata(
        icc=options.pop("icc_profile", own.icc) or None,
        exif=meta.as_exif(options.pop("exif")) if "exif" in options else own.exif,
        xmp=meta.as_xmp(options.pop("xmp", own.xmp)),
    )
    codec = _codec(options.pop("model", _defaults["model"]))
    file.write(codec.compress(image, metadata=kept, **options))


def _own_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that this format has. Warn with `LossWarning` of others that ask for anything."""
    for name, value in given.items():
        # 0 is a colour, too.
        if name in _NOT_DONE and (value or (name == "transparency" and value is not None)):
            text = f"{name} is ignored: {_NOT_DONE[name]}"
        elif name not in _SAVE_OPTIONS | _OF_OTHERS | _NOT_DONE.keys():
            near = difflib.get_close_matches(name, _SAVE_OPTIONS, 1)
            text = f"{name} is ignored: no such option" + (f", did you mean {near[0]}?" if near else "")
        else:
            continue
        warnings.warn(text, LossWarning, stacklevel=caller())
    # `None` asks for the default, except that it takes metadata away, as in Pillow's own formats.
    kept = {name: value for name, value in given.items() if name in _SAVE_OPTIONS}
    for name in ("quality", "bpp", "size"):
        if kept.get(name, 0) is None:
            del kept[name]
    return kept


def _codec(model: str | os.PathLike | None) -> Codec:
    from vqcodec.codec import default_codec

    return default_codec(model, _defaults["device"])


register_vqc_opener()
