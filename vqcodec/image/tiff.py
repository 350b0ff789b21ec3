"""EXIF as a bare TIFF structure: read and change entries in place, so that offsets elsewhere stay valid."""

from __future__ import annotations

import struct
from collections.abc import Iterator

ORIENTATION = 0x0112
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_COLOUR_SPACE, _GAMMA, _INDEX = 0xA001, 0xA500, 0x0001
_WHITE_POINT, _PRIMARIES = 0x013E, 0x013F
_SRGB, _ADOBE, _UNCALIBRATED = 1, 2, 0xFFFF
# Bytes per value of each type, by number.
_SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), 1))


def directory(exif: bytes, start: int | None = None) -> tuple[str, list[int], int]:
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


def orientation(exif: bytes) -> int | None:
    """Return the orientation, 1 to 8, or `None` if there is none. Values that do not exist count as 1."""
    order, entries, _ = directory(exif)
    for at in entries:
        tag, kind = struct.unpack_from(order + "HH", exif, at)
        if tag == ORIENTATION:
            (value,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), exif, at + 8)
            return value if 1 <= value <= 8 else 1
    return None


def without_orientation(exif: bytes) -> bytes:
    """Return EXIF without the orientation; empty if it held nothing else."""
    order, entries, end = directory(exif)
    for at in entries:
        if struct.unpack_from(order + "H", exif, at)[0] == ORIENTATION:
            if len(entries) == 1 and not any(exif[end : end + 4]):
                return b""
            return _without_entry(exif, order, entries, end, at)
    return exif


def without_thumbnail(exif: bytes) -> bytes:
    """Return EXIF with its second directory and its thumbnail overwritten by zeros."""
    order, _, end = directory(exif)
    if not end:
        return exif
    (second,) = struct.unpack_from(order + "I", exif, end)
    _, entries, second_end = directory(exif, second)
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


def without_gps(exif: bytes) -> bytes:
    """Return EXIF without the position: its directory becomes zeros, and no entry points there.

    The entry belongs into the first directory, and some writers put it among the EXIF tags. Empty if nothing is left.
    """
    for parent in (None, _EXIF):
        while True:
            order, entries, end = directory(exif, None if parent is None else _offset(exif, None, parent))
            found = [at for at in entries if struct.unpack_from(order + "H", exif, at)[0] == _GPS]
            if not found:
                break
            if parent is None and len(entries) == 1 and not any(exif[end : end + 4]):
                return b""
            (where,) = struct.unpack_from(order + "I", exif, found[0] + 8)
            exif = _without_entry(exif, order, entries, end, found[0])
            exif = _zeroed(exif, where, _own_ranges(exif))
    return exif


def colour_space(exif: bytes) -> str | None:
    """Return "sRGB", "Adobe RGB" or "uncalibrated", or `None` if the EXIF says nothing of it.

    Adobe RGB is said by the interoperability index "R03" of DCF 2.0, or by the colour space 2 that some
    cameras write.
    """
    value = _number(exif, _offset(exif, None, _EXIF), _COLOUR_SPACE)
    if value == _SRGB:
        return "sRGB"
    if value == _ADOBE or _index(exif) == b"R03\0":
        return "Adobe RGB"
    return "uncalibrated" if value == _UNCALIBRATED else None


def chromaticities(exif: bytes) -> tuple[float, ...] | None:
    """Return x and y of white, red, green and blue, or `None` if the first directory lacks them."""
    found = _rationals(exif, None, _WHITE_POINT, 2) + _rationals(exif, None, _PRIMARIES, 6)
    return found if len(found) == 8 else None


def gamma(exif: bytes) -> float | None:
    """Return the exponent between stored and linear values, such as 2.2, or `None`."""
    found = _rationals(exif, _offset(exif, None, _EXIF), _GAMMA, 1)
    return found[0] if found and found[0] > 0 else None


def as_srgb(exif: bytes) -> bytes:
    """Return EXIF whose colour space and interoperability index, where it has them, say sRGB."""
    out = bytearray(exif)
    start = _offset(exif, None, _EXIF)
    order, at = _entry(exif, start, _COLOUR_SPACE)
    if at is not None:
        (kind,) = struct.unpack_from(order + "H", exif, at + 2)
        struct.pack_into(order + ("I" if kind == 4 else "HH"), out, at + 8, *([1] if kind == 4 else [1, 0]))
    order, at = _entry(exif, _offset(exif, start, _INTEROPERABILITY), _INDEX)
    if at is not None and exif[at + 8 : at + 11] == b"R03":
        out[at + 8 : at + 11] = b"R98"
    return bytes(out)


def _index(exif: bytes) -> bytes:
    start = _offset(exif, _offset(exif, None, _EXIF), _INTEROPERABILITY)
    _, at = _entry(exif, start, _INDEX)
    return b"" if at is None else bytes(exif[at + 8 : at + 12])


def _entry(exif: bytes, start: int | None, wanted: int) -> tuple[str, int | None]:
    """Return byte order and offset of an entry. Offset 0 of a directory means that there is none."""
    order, entries, _ = directory(exif, start)
    for at in entries:
        if struct.unpack_from(order + "H", exif, at)[0] == wanted:
            return order, at
    return order, None


def _number(exif: bytes, start: int | None, wanted: int) -> int | None:
    order, at = _entry(exif, start, wanted)
    if at is None:
        return None
    (kind,) = struct.unpack_from(order + "H", exif, at + 2)
    return struct.unpack_from(order + ("I" if kind == 4 else "H"), exif, at + 8)[0]


def _offset(exif: bytes, start: int | None, wanted: int) -> int:
    """Return the offset of the directory that an entry points to, or 0, where no directory can be."""
    order, at = _entry(exif, start, wanted)
    return 0 if at is None else struct.unpack_from(order + "I", exif, at + 8)[0]


def _rationals(exif: bytes, start: int | None, wanted: int, count: int) -> tuple[float, ...]:
    order, at = _entry(exif, start, wanted)
    if at is None:
        return ()
    _, kind, stored, where = struct.unpack_from(order + "HHII", exif, at)
    if kind != 5 or stored != count or where + 8 * count > len(exif):
        return ()
    numbers = struct.unpack_from(f"{order}{2 * count}I", exif, where)
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    return tuple(above / below for above, below in pairs) if all(below for _, below in pairs) else ()


def _without_entry(exif: bytes, order: str, entries: list[int], end: int, at: int) -> bytes:
    """Return EXIF without one entry of a directory. The entries behind it move up, and nothing else moves."""
    count = struct.pack(order + "H", len(entries) - 1)
    begin = entries[0] - 2
    return exif[:begin] + count + exif[begin + 2 : at] + exif[at + 12 : end + 4] + bytes(12) + exif[end + 4 :]


def _own_ranges(exif: bytes) -> list[tuple[int, int]]:
    """Return begin and end of the header, and of the directories that must stay with their values."""
    found = [(0, 8)]
    exif_start = _offset(exif, None, _EXIF)
    for start in (None, exif_start, _offset(exif, exif_start, _INTEROPERABILITY)):
        order, entries, end = directory(exif, start)
        if entries:
            found += [(entries[0] - 2, end + 4), *_values(exif, order, entries)]
    return found


def _values(exif: bytes, order: str, entries: list[int]) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the values that entries point to."""
    for at in entries:
        _, kind, count, where = struct.unpack_from(order + "HHII", exif, at)
        length = _SIZES.get(kind, 1) * count
        if length > 4:
            yield where, where + length


def _zeroed(exif: bytes, start: int, kept: list[tuple[int, int]]) -> bytes:
    """Return EXIF with a directory and the values it points to overwritten by zeros, except where in `kept`."""
    order, entries, end = directory(exif, start)
    out = bytearray(exif)

    def erase(begin: int, stop: int) -> None:
        if begin < stop <= len(exif) and not any(begin < last and first < stop for first, last in kept):
            out[begin:stop] = bytes(stop - begin)

    for first, last in _values(exif, order, entries):
        erase(first, last)
    if entries:
        erase(entries[0] - 2, end + 4)
    return bytes(out)
