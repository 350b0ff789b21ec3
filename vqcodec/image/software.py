"""The EXIF tag `Software`: the program that wrote a file."""

from __future__ import annotations

import struct

from vqcodec.image.tiff import directory

SOFTWARE = 0x0131
_NOTHING = b"II*\0\x08\0\0\0" + bytes(6)


def with_software(exif: bytes | None, name: str) -> bytes:
    """Return EXIF that names a program. If it names one already, or is damaged, it stays as it is.

    A new first directory is added at the end, and the old one stays unused. So nothing else moves, and makers'
    notes may hold offsets into the whole.

    Args:
        exif: TIFF structure, or `None` for a new one.
        name: name of the program, in ASCII.
    """
    exif = _NOTHING if exif is None else exif
    order, places, end = directory(exif)
    if not end:
        return exif
    entries = [exif[at : at + 12] for at in places]
    tags = [struct.unpack(order + "H10x", entry)[0] for entry in entries]
    if SOFTWARE in tags:
        return exif
    # Directories begin at even offsets, and their entries are sorted.
    start = len(exif) + len(exif) % 2
    text = name.encode("ascii") + b"\0"
    behind = start + 2 + 12 * (len(entries) + 1) + 4
    where = struct.pack(order + "I", behind) if len(text) > 4 else text.ljust(4, b"\0")
    place = sum(tag < SOFTWARE for tag in tags)
    entries.insert(place, struct.pack(order + "HHI", SOFTWARE, 2, len(text)) + where)
    first = struct.pack(order + "H", len(entries)) + b"".join(entries) + exif[end : end + 4]
    return exif[:4] + struct.pack(order + "I", start) + exif[8:].ljust(start - 8, b"\0") + first + text
