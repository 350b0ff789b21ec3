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

# The format's limit per item. XMP packets that embed whole pictures exceed it.
MAX_BYTES = 1 << 24

_EXIF_MARKER = b"Exif\0\0"
_ORIENTATION = 0x0112
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_XMP_ORIENTATION_WHOLE = re.compile(
    rb'\s*tiff:Orientation="[0-9]*"|\s*<tiff:Orientation>[0-9]*</tiff:Orientation>'
)
# TIFF tags that describe the picture rather than how its pixels are stored.
_DESCRIPTIVE = {
    *(0x010E, 0x010F, 0x0110, _ORIENTATION, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C),
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


def orientation(metadata: Metadata) -> int:
    """Return the EXIF orientation, 1 to 8, or that of the XMP; 1 if neither has one."""
    exif = metadata.exif or b""
    order, entries, _ = _directory(exif, None)
    for at in entries:
        tag, kind = struct.unpack_from(order + "HH", exif, at)
        if tag == _ORIENTATION:
            (value,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), exif, at + 8)
            return value if 1 <= value <= 8 else 1
    match = _XMP_ORIENTATION.search(metadata.xmp or b"")
    return int(match[1]) if match else 1


def upright(metadata: Metadata) -> Metadata:
    """Return the metadata without orientation and EXIF thumbnail.

    The thumbnail would outweigh the picture. The rest of the EXIF keeps its place, because makers' notes may
    hold offsets into the whole.
    """
    exif = (metadata.exif and _without_thumbnail(_without_orientation(metadata.exif))) or None
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


def _directory(exif: bytes, start: int | None) -> tuple[str, list[int], int]:
    """Return byte order, entry offsets and end of a TIFF directory, or no entries if it is damaged.

    Args:
        exif: TIFF structure.
        start: offset of the directory; by default that of the first one.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(exif[:4]))
    if order is None or len(exif) < 8:
        return "<", [], 0
    if start is None:
        (start,) = struct.unpack_from(order + "I", exif, 4)
    if not 8 <= start <= len(exif) - 2:
        return order, [], 0
    (count,) = struct.unpack_from(order + "H", exif, start)
    end = start + 2 + 12 * count
    return (order, list(range(start + 2, end, 12)), end) if end + 4 <= len(exif) else (order, [], 0)


def _without_orientation(exif: bytes) -> bytes:
    order, entries, end = _directory(exif, None)
    for at in entries:
        if struct.unpack_from(order + "H", exif, at)[0] == _ORIENTATION:
            if len(entries) == 1 and not any(exif[end : end + 4]):
                return b""
            count = struct.pack(order + "H", len(entries) - 1)
            begin = entries[0] - 2
            return (
                exif[:begin]
                + count
                + exif[begin + 2 : at]
                + exif[at + 12 : end + 4]
                + bytes(12)
                + exif[end + 4 :]
            )
    return exif


def _without_thumbnail(exif: bytes) -> bytes:
    order, _, end = _directory(exif, None)
    if not end:
        return exif
    (second,) = struct.unpack_from(order + "I", exif, end)
    _, entries, second_end = _directory(exif, second)
    if not second or not entries:
        return exif
    out = bytearray(exif)
    values = {}
    for at in entries:
        tag, _, _, value = struct.unpack_from(order + "HHII", exif, at)
        values[tag] = value
    start, length = values.get(_THUMBNAIL_OFFSET, 0), values.get(_THUMBNAIL_LENGTH, 0)
    if end + 4 <= start <= start + length <= len(exif):
        out[start : start + length] = bytes(length)
    out[second : second_end + 4] = bytes(second_end + 4 - second)
    out[end : end + 4] = bytes(4)
    return bytes(out)
