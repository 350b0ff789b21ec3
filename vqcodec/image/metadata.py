"""ICC profile, EXIF and XMP between Pillow and `.vqc` files.

They are kept as they are, except for the orientation and the EXIF thumbnail.
"""

from __future__ import annotations

import re
import struct
import warnings
from typing import Any

from PIL import Image

from bitstream import Metadata
from vqcodec.errors import LossWarning
from vqcodec.image import tiff

# The format's limit per item. XMP packets that embed whole pictures exceed it.
MAX_BYTES = 1 << 24

_EXIF_MARKER = b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_XMP_ORIENTATION_WHOLE = re.compile(
    rb'\s*tiff:Orientation="[0-9]*"|\s*<tiff:Orientation>[0-9]*</tiff:Orientation>'
)
# TIFF tags that describe the picture rather than how its pixels are stored.
_DESCRIPTIVE = {
    *(0x010E, 0x010F, 0x0110, tiff.ORIENTATION, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C),
    *(0x4746, 0x4749, 0x8298, 0x8769, 0x8825, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),
}


def of_image(image: Image.Image) -> Metadata:
    """Return the metadata of a Pillow image. Items over `MAX_BYTES` are dropped with a `LossWarning`."""
    found = {
        "icc": image.info.get("icc_profile") or None,
        "exif": as_exif(image.info.get("exif")) or _read_exif(image),
        "xmp": as_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")),
    }
    for name, value in found.items():
        if value is not None and len(value) > MAX_BYTES:
            warnings.warn(f"{name.upper()} of {len(value)} bytes is not kept", LossWarning, stacklevel=2)
            found[name] = None
    return Metadata(**found)


def as_exif(value: Any) -> bytes | None:
    """Convert EXIF from Pillow (bytes with or without marker, or `Image.Exif`) to a bare TIFF structure."""
    if isinstance(value, Image.Exif):
        value = value.tobytes() if len(value) else None
    return bytes(value).removeprefix(_EXIF_MARKER) or None if value else None


def as_xmp(value: str | bytes | None) -> bytes | None:
    """Convert an XMP packet from Pillow to UTF-8 bytes."""
    return (value.encode() if isinstance(value, str) else bytes(value)) if value else None


def to_info(metadata: Metadata) -> dict[str, bytes]:
    """Return metadata as entries of `Image.info`, the form that Pillow's writers take too."""
    found = {
        "icc_profile": metadata.icc,
        "exif": metadata.exif and _EXIF_MARKER + metadata.exif,
        "xmp": metadata.xmp,
    }
    return {name: value for name, value in found.items() if value}


def from_info(info: dict[Any, Any]) -> Metadata:
    """Return the metadata in `Image.info`, the reverse of `to_info`."""
    return Metadata(info.get("icc_profile"), as_exif(info.get("exif")), as_xmp(info.get("xmp")))


def orientation(metadata: Metadata) -> int:
    """Return the EXIF orientation, 1 to 8, or that of the XMP; 1 if neither has one."""
    found = tiff.orientation(metadata.exif or b"")
    if found is not None:
        return found
    match = _XMP_ORIENTATION.search(metadata.xmp or b"")
    return int(match[1]) if match else 1


def upright(metadata: Metadata) -> Metadata:
    """Return the metadata without orientation and EXIF thumbnail.

    The thumbnail would outweigh the picture. The rest of the EXIF keeps its place, because makers' notes may
    hold offsets into the whole.
    """
    exif = (metadata.exif and tiff.without_thumbnail(tiff.without_orientation(metadata.exif))) or None
    return Metadata(metadata.icc, exif, metadata.xmp and _XMP_ORIENTATION_WHOLE.sub(b"", metadata.xmp))


def _read_exif(image: Image.Image) -> bytes | None:
    """Read EXIF that is not stored as one block: the tags of a TIFF file, or hexadecimal text in a PNG."""
    try:
        exif = image.getexif()
        if getattr(image, "tag_v2", None) is not None:
            for tag in [tag for tag in exif if tag not in _DESCRIPTIVE]:
                del exif[tag]
        elif "Raw profile type exif" not in image.info:
            return None
        return as_exif(exif)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error) as error:
        warnings.warn(f"the EXIF cannot be read and is not kept: {error}", LossWarning, stacklevel=3)
        return None
