"""What files say of their colours outside ICC profiles: PNG chunks, AVIF and JPEG 2000 boxes, TIFF tags, EXIF."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from PIL import Image

from vqcodec.errors import LossWarning
from vqcodec.image import tiff
from vqcodec.image.colour import ADOBE, ADOBE_GAMMA, NEAR, PROPHOTO, SRGB, Colours

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG2000 = b"\0\0\0\x0cjP  "
# Boxes and chunks looked at, and bytes of one that are read.
_MOST_BOXES, _MOST_BYTES = 1000, 1 << 24
_WHITE_POINT, _PRIMARIES, _TRANSFER = 318, 319, 301
# Enumerated colour spaces of JPEG 2000 that Pillow does not convert.
_UNSUPPORTED_SPACES = {14: "CIELab", 19: "CIEJab", 20: "e-sRGB", 24: "e-sYCC"}
_ROMM = 21


@dataclass(frozen=True)
class Signal:
    """What a file says beside its ICC profile.

    Attributes:
        colours: as the file describes them, or `None`.
        icc: profile that Pillow does not hand over.
        first: whether `colours` come before an ICC profile.
    """

    colours: Colours | None = None
    icc: bytes | None = None
    first: bool = False


def read(image: Image.Image) -> Signal:
    """Return what the file of an image says of its colours. Call it before the image is loaded.

    Afterwards, Pillow has closed the file. If it has a name, it is opened again.
    """
    try:
        found = _of_bytes(image)
    except (OSError, ValueError, IndexError, struct.error):
        found = Signal()
    if found.colours is None and found.icc is None:
        found = Signal(_of_png(image.info) or _of_tiff(getattr(image, "tag_v2", None)))
    return found


def of_exif(exif: bytes | None, warn: bool = True) -> Colours | None:
    """Return the colours that EXIF names.

    Args:
        exif: TIFF structure, or `None`.
        warn: whether to warn with `LossWarning` if the EXIF only says what the colours are not.
    """
    if not exif:
        return None
    space = tiff.colour_space(exif)
    if space == "Adobe RGB":
        return Colours(ADOBE, ADOBE_GAMMA)
    if space != "uncalibrated":
        return None
    points, gamma = tiff.chromaticities(exif), tiff.gamma(exif)
    if points is None:
        if warn:
            text = "the EXIF says that the colours are not sRGB, but not what; they are taken for sRGB"
            warnings.warn(text, LossWarning, stacklevel=5)
        return None
    return Colours(points, None if gamma is None else float(gamma))


def _of_bytes(image: Image.Image) -> Signal:
    file = getattr(image, "fp", None)
    name = getattr(image, "filename", None)
    if file is not None and hasattr(file, "seek"):
        place = file.tell()
        try:
            return _of_file(file)
        finally:
            file.seek(place)
    if file is None and name:
        with open(name, "rb") as again:
            return _of_file(again)
    return Signal()


def _of_file(file: IO[bytes]) -> Signal:
    file.seek(0)
    head = file.read(12)
    if head.startswith(_PNG):
        return _of_cicp(file)
    if head.startswith(_JPEG2000):
        return _of_jpeg2000(file)
    if head[4:8] == b"ftyp":
        return _of_avif(file)
    return Signal()


def _of_cicp(file: IO[bytes]) -> Signal:
    file.seek(len(_PNG))
    for _ in range(_MOST_BOXES):
        length, tag = struct.unpack(">I4s", file.read(8))
        if tag == b"IDAT":
            break
        if tag == b"cICP" and length == 4:
            primaries, transfer, _, full = file.read(4)
            colours = Colours.coded(primaries, transfer, full != 0)
            return Signal(colours, first=colours is not None and colours.unsupported is None)
        file.seek(length + 4, 1)
    return Signal()


def _of_png(info: dict[Any, Any]) -> Colours | None:
    """Return the colours of the chunk `sRGB`, or else of `gAMA` and `cHRM`."""
    gamma: float = info.get("gamma") or 0
    points: tuple[float, ...] = info.get("chromaticity") or ()
    if "srgb" in info:
        return Colours()
    if not (gamma or points):
        return None
    exponent = 1 / gamma if 0.01 < gamma < 100 else None
    wide = bool(points) and max(abs(a - b) for a, b in zip(points, SRGB, strict=True)) > NEAR
    if exponent and not wide and abs(gamma * 2.2 - 1) <= 0.05:
        # This is how files from before the chunk `sRGB` say sRGB.
        exponent = None
    return Colours(points if wide else SRGB, exponent)


def _of_tiff(tags: Any) -> Colours | None:
    if tags is None:
        return None
    white, points = _floats(tags, _WHITE_POINT, 2), _floats(tags, _PRIMARIES, 6)
    transfer = _transfer_function(tags)
    if points is None and transfer is None:
        return None
    return Colours(SRGB if points is None else (*(white or SRGB[:2]), *points), transfer)


def _transfer_function(tags: Any) -> np.ndarray | None:
    found = tags.get(_TRANSFER)
    if not isinstance(found, tuple):
        return None
    found = np.concatenate([np.atleast_1d(part) for part in found]) if found else np.empty(0)
    bits = tags.get(258, (8,))
    size = 1 << min(int(bits[0] if isinstance(bits, tuple) else bits), 16)
    if len(found) not in (size, 3 * size):
        return None
    return np.broadcast_to(found.reshape(-1, size) / 65535.0, (3, size))


def _floats(tags: Any, tag: int, count: int) -> tuple[float, ...] | None:
    found = tags.get(tag)
    if not isinstance(found, tuple) or len(found) != count:
        return None
    return tuple(float(value) for value in found)


def _boxes(file: IO[bytes], start: int, stop: int | None) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, begin and end of the contents of each box in a part of a file."""
    at = start
    for _ in range(_MOST_BOXES):
        if stop is not None and at + 8 > stop:
            return
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        begin = at + 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            begin += 8
        end = at + length if length else stop or begin + _MOST_BYTES
        if end < begin or (stop is not None and end > stop):
            return
        yield kind, begin, end
        at = end


def _body(file: IO[bytes], begin: int, end: int) -> bytes:
    file.seek(begin)
    return file.read(min(end - begin, _MOST_BYTES))


def _inside(file: IO[bytes], path: list[tuple[bytes, int]]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes inside the first box of a path, a list of types with the bytes before their contents."""
    start: int = 0
    stop: int | None = None
    for wanted, skipped in path:
        for kind, begin, end in _boxes(file, start, stop):
            if kind == wanted:
                start, stop = begin + skipped, end
                break
        else:
            return
    yield from _boxes(file, start, stop)


def _of_jpeg2000(file: IO[bytes]) -> Signal:
    """Return the signal of the first colour specification that can be used."""
    colours = None
    for kind, begin, end in _inside(file, [(b"jp2h", 0)]):
        body = _body(file, begin, end) if kind == b"colr" else b""
        if len(body) > 3 and body[0] in (2, 3):
            return Signal(icc=body[3:])
        if len(body) >= 7 and body[0] == 1:
            space = int.from_bytes(body[3:7], "big")
            if space == _ROMM:
                return Signal(Colours(PROPHOTO, 1.8))
            if space not in _UNSUPPORTED_SPACES:
                return Signal(Colours())
            colours = colours or Colours(unsupported=_UNSUPPORTED_SPACES[space])
    return Signal(colours)


def _of_avif(file: IO[bytes]) -> Signal:
    """Return the colours of the first property of the kind nclx that the primary item has."""
    meta = [(b"meta", 4)]
    primary = 0
    for kind, begin, end in _inside(file, meta):
        if kind == b"pitm":
            body = _body(file, begin, end)
            primary = int.from_bytes(body[4:6] if body[0] == 0 else body[4:8], "big")
    owned: set[int] | None = None
    for kind, begin, end in _inside(file, [*meta, (b"iprp", 0)]):
        if kind == b"ipma":
            owned = _properties(_body(file, begin, end)).get(primary, owned)
    for index, (kind, begin, end) in enumerate(_inside(file, [*meta, (b"iprp", 0), (b"ipco", 0)]), 1):
        body = _body(file, begin, end) if kind == b"colr" else b""
        if body[:4] == b"nclx" and len(body) >= 8 and (owned is None or index in owned):
            # Pillow's decoder has applied matrix and range.
            return Signal(Colours.coded(*struct.unpack_from(">HH", body, 4)))
    return Signal()


def _properties(body: bytes) -> dict[int, set[int]]:
    """Return the numbers of the properties of each item, from the contents of a box of the type ipma."""
    version, flags = body[0], body[3]
    (count,) = struct.unpack_from(">I", body, 4)
    at, found = 8, {}
    for _ in range(min(count, _MOST_BOXES)):
        (item,) = struct.unpack_from(">H" if version < 1 else ">I", body, at)
        at += 2 if version < 1 else 4
        size, number = (2 if flags & 1 else 1), body[at]
        places = range(at + 1, at + 1 + size * number, size)
        mask = 0x7FFF if flags & 1 else 0x7F
        found[item] = {int.from_bytes(body[place : place + size], "big") & mask for place in places}
        at += 1 + size * number
    return found
