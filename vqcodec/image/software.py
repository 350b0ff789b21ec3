"""The EXIF tag `Software`: the program that wrote a file."""

from __future__ import annotations

import struct

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
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(exif[:4]))
    try:
        if order is None:
            return exif
        (old,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, old)
        following = old + 2 + 12 * count
        entries = [exif[at : at + 12] for at in range(old + 2, following, 12)]
        tags = [struct.unpack(order + "H10x", entry)[0] for entry in entries]
        struct.unpack_from("4x", exif, following)
    except struct.error:
        return exif
    if SOFTWARE in tags:
        return exif
    # Directories begin at even offsets, and their entries are sorted.
    start = len(exif) + len(exif) % 2
    text = name.encode("ascii") + b"\0"
    behind = start + 2 + 12 * (count + 1) + 4
    where = struct.pack(order + "I", behind) if len(text) > 4 else text.ljust(4, b"\0")
    place = sum(tag < SOFTWARE for tag in tags)
    entries.insert(place, struct.pack(order + "HHI", SOFTWARE, 2, len(text)) + where)
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + exif[following : following + 4]
    return exif[:4] + struct.pack(order + "I", start) + exif[8:].ljust(start - 8, b"\0") + directory + text
