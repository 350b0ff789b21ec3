"""Pictures that state their colours in other ways than by an ICC profile, and what they should look like in sRGB."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

# From linear RGB to XYZ at D65, as the standards and their usual tables have it.
TO_XYZ = {
    "sRGB": (
        (0.4124564, 0.3575761, 0.1804375),
        (0.2126729, 0.7151522, 0.0721750),
        (0.0193339, 0.1191920, 0.9503041),
    ),
    "Adobe RGB": ((0.57667, 0.18556, 0.18823), (0.29734, 0.62736, 0.07529), (0.02703, 0.07069, 0.99134)),
    "P3": ((0.48657, 0.26567, 0.19822), (0.22897, 0.69174, 0.07929), (0.0, 0.04511, 1.04394)),
    "BT.2020": ((0.63696, 0.14462, 0.16888), (0.26270, 0.67800, 0.05930), (0.0, 0.02807, 1.06099)),
}
ADOBE_CHRM = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
SRGB_CHRM = (0.3127, 0.329, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


def to_srgb(pixels: np.ndarray, space: str = "sRGB", exponent: float | None = None) -> np.ndarray:
    """Return pixels (..., 3) of a colour space as sRGB, float, clipped.

    Args:
        pixels: 0..255.
        space: name in `TO_XYZ`.
        exponent: of the curve to linear values; `None` for that of sRGB.
    """
    stored = np.asarray(pixels, np.float64) / 255
    if exponent is None:
        linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    else:
        linear = stored**exponent
    linear = linear @ (np.linalg.inv(np.array(TO_XYZ["sRGB"])) @ np.array(TO_XYZ[space])).T
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def seen(image: Image.Image) -> np.ndarray:
    """Return the sRGB pixels (height, width, 3) that a program with colour management shows of an image."""
    profile = image.info.get("icc_profile")
    if profile is None:
        return np.asarray(image.convert("RGB"))
    mode = "L" if image.mode in ("L", "LA") else "RGB"
    source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    out = ImageCms.profileToProfile(image.convert(mode), source, srgb, renderingIntent=1, outputMode="RGB")
    return np.asarray(out)


def png_chunk(tag: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))


def gama(value: float) -> bytes:
    """Return the chunk that says: stored values are linear ones to the power of this."""
    return png_chunk(b"gAMA", struct.pack(">I", round(value * 100000)))


def chrm(points: tuple[float, ...]) -> bytes:
    """Return the chunk with x and y of white, red, green and blue."""
    return png_chunk(b"cHRM", struct.pack(">8I", *(round(value * 100000) for value in points)))


def cicp(primaries: int, transfer: int, full: int = 1) -> bytes:
    """Return the chunk with codes of ITU-T H.273."""
    return png_chunk(b"cICP", bytes([primaries, transfer, 0, full]))


def png(image: Image.Image, *chunks: bytes, **options: object) -> bytes:
    """Return a PNG file of an image with chunks behind its header."""
    data = saved(image, "PNG", **options)
    return data[:33] + b"".join(chunks) + data[33:]


def png16(values: np.ndarray, *chunks: bytes) -> bytes:
    """Return a PNG file of (height, width, 3) uint16, which Pillow cannot write."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
        + b"".join(chunks)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def avif(image: Image.Image, primaries: int, transfer: int) -> bytes:
    """Return an AVIF file of an image whose property nclx has these codes."""
    data = saved(image, "AVIF", quality=100, subsampling="4:4:4")
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def jpeg2000(image: Image.Image, space: int | None = None, icc: bytes | None = None) -> bytes:
    """Return a JPEG 2000 file of an image with an enumerated colour space or an ICC profile."""
    data = saved(image, "JPEG2000", mct=0)
    header = data.index(b"jp2h") - 4
    at = data.index(b"colr") - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    body = b"\2\0\0" + icc if icc is not None else b"\1\0\0" + struct.pack(">I", space)
    box = struct.pack(">I", 8 + len(body)) + b"colr" + body
    length = int.from_bytes(data[header : header + 4], "big") + len(box) - (end - at)
    return data[:header] + struct.pack(">I", length) + data[header + 4 : at] + box + data[end:]


def colour_exif(space: int, index: str | None = None) -> bytes:
    """Return EXIF, a TIFF structure, with a colour space and an interoperability index."""
    exif = Image.Exif()
    exif[0x010F] = "Cameras & Sons"
    exif.get_ifd(0x8769)[0xA001] = space
    if index is not None:
        exif.get_ifd(0x8769)[0xA005] = {1: index}
    return exif.tobytes().removeprefix(b"Exif\0\0")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the bytes of a file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
