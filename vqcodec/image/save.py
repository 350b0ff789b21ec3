"""Write decoded images in the usual formats, with as much metadata as each format can hold."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import replace
from typing import Any, BinaryIO

from PIL import Image, PngImagePlugin

from vqcodec.errors import LossWarning, RequestError, WriteError
from vqcodec.image import metadata as meta
from vqcodec.image import tiff
from vqcodec.image.keep import ALL, Keep
from vqcodec.image.label import Label, with_labels
from vqcodec.image.srgb import converted, kind_of

# The picture has been through one lossy codec, so these settings add as little loss as they can.
_OPTIONS: dict[str, dict[str, Any]] = {
    # For photographs, the same size as with zlib's default strategy in a fifth of the time.
    "PNG": {"compress_type": zlib.Z_RLE},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "AVIF": {"quality": 95},
}
_METADATA = {
    "PNG": ("icc_profile", "exif", "xmp"),
    "JPEG": ("icc_profile", "exif", "xmp"),
    "WEBP": ("icc_profile", "exif", "xmp"),
    "AVIF": ("icc_profile", "exif", "xmp"),
    "TIFF": ("icc_profile", "exif", "xmp"),
    "JPEG2000": (),
}
# Formats that hold no metadata but a comment.
_COMMENTS = ("GIF", "JPEG2000")
_NAMES = {"icc_profile": "ICC profile", "exif": "EXIF", "xmp": "XMP"}
_JPEG_SEGMENT = 65533 - len(b"http://ns.adobe.com/xap/1.0/\0")
_XMP_TAG = 700
# Tags of EXIF and GPS directories.
_DIRECTORIES = (0x8769, 0x8825)


def format_of(suffix: str) -> str:
    """Return the format that Pillow writes for a file name suffix such as ".png".

    Raises:
        RequestError: Pillow writes no such format.
    """
    found = Image.registered_extensions().get(suffix.lower())
    if found not in Image.SAVE:
        raise RequestError(f"no picture format with suffix {suffix!r} can be written")
    return found


def write_image(
    image: Image.Image, file: BinaryIO, kind: str, keep: Keep = ALL, *, label: Label | None = None
) -> None:
    """Write an image with the ICC profile, EXIF and XMP in its `Image.info`, and with a label.

    Where the profile is not written, colours are converted to sRGB. Formats without XMP get the label as a comment, and
    formats without comments get none. Warns with `LossWarning` about metadata that the format cannot hold.

    Args:
        image: mode L, LA, RGB or RGBA.
        file: open for writing; the caller removes it on failure.
        kind: Pillow's name of the format.
        keep: which metadata to write.
        label: what the picture says of itself; `None` for nothing.

    Raises:
        WriteError: the format cannot hold the picture.
    """
    whole = meta.from_info(image.info)
    kept = keep.of(whole)
    in_srgb = whole.icc is not None and not (kept.icc and _holds(kind, "icc_profile", kept.icc))
    if in_srgb and kept.exif:
        # The EXIF must not say what the numbers no longer mean.
        kept = replace(kept, exif=tiff.as_srgb(kept.exif))
    metadata = meta.to_info(kept)
    lost = [name for name, value in metadata.items() if not _holds(kind, name, value)]
    for name in lost:
        del metadata[name]
    if label is not None:
        for name, value in with_labels(metadata, label).items():
            if _holds(kind, name, value):
                metadata[name] = value
            elif name == "xmp" and _holds(kind, name, b""):
                # The label goes first.
                lost.append(name)
                metadata[name] = with_labels({}, label)[name]
    if lost:
        names = ", ".join(_NAMES[name] for name in lost)
        then = "; the colours are converted to sRGB" if "icc_profile" in lost else ""
        warnings.warn(f"{names} cannot be kept in {kind}{then}", LossWarning, stacklevel=2)
    if in_srgb and whole.icc is not None:
        image = converted(image, whole.icc)
    options = _OPTIONS.get(kind, {}) | metadata
    if label is not None and kind in _COMMENTS:
        options["comment"] = label.comment
    if kind == "PNG":
        text = options["pnginfo"] = PngImagePlugin.PngInfo()
        if label is not None:
            text.add_text("Software", label.software)
        if "xmp" in options:
            text.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode("utf-8", "replace"))
    if kind == "TIFF":
        exif = Image.Exif()
        exif.load(options.pop("exif", None))
        if "xmp" in options:
            exif[_XMP_TAG] = options.pop("xmp")
        options["exif"] = exif
        if any(tag in exif for tag in _DIRECTORIES):
            # Pillow's writer of compressed files fails on directories inside the first one.
            options.pop("compression")
    if kind in ("JPEG", "BMP", "PPM") and image.mode in ("LA", "RGBA"):
        raise WriteError(f"{kind} has no transparency; PNG, WebP, TIFF and AVIF do")
    # Pillow's writers also read `info`, and would find there what they were not given.
    info, image.info = image.info, {}
    try:
        image.save(file, kind, **options)
    except (ValueError, KeyError, SyntaxError) as error:
        raise WriteError(f"{kind} cannot hold this picture: {error}") from error
    finally:
        image.info = info


def _holds(kind: str, name: str, value: bytes) -> bool:
    """Return whether a format can hold an item of metadata."""
    if name not in _METADATA.get(kind, ()):
        return False
    if name == "icc_profile":
        # These store a grey picture with three channels.
        return not (kind in ("WEBP", "AVIF") and kind_of(value) == b"GRAY")
    return kind != "JPEG" or len(value) <= _JPEG_SEGMENT
