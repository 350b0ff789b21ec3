"""Builds EXIF as cameras write it: with an orientation, a second directory, a thumbnail, and offsets into it all."""

from __future__ import annotations

import struct


def camera_exif(orientation: int | None, thumbnail: bytes = b"", order: str = "<") -> bytes:
    """A TIFF structure with maker, orientation, and a maker's note behind the thumbnail."""
    maker = b"Cameras & Sons\0"
    entries = [(0x010F, 2, len(maker), None)]
    if orientation is not None:
        entries.append((0x0112, 3, 1, struct.pack(order + "HH", orientation, 0)))
    entries.append((0x0131, 2, 4, b"abc\0"))
    first = 8
    first_end = first + 2 + 12 * len(entries) + 4
    second = first_end + len(maker)
    second_end = second + 2 + 12 * 2 + 4 if thumbnail else second
    entries = [
        (tag, kind, count, struct.pack(order + "I", first_end) if value is None else value)
        for tag, kind, count, value in entries
    ]
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", first)
    out += _directory(entries, second if thumbnail else 0, order) + maker
    if thumbnail:
        numbers = [(0x0201, second_end), (0x0202, len(thumbnail))]
        entries = [(tag, 4, 1, struct.pack(order + "I", number)) for tag, number in numbers]
        out += _directory(entries, 0, order) + thumbnail
    return out + b"behind it all"


def _directory(entries: list[tuple[int, int, int, bytes]], following: int, order: str) -> bytes:
    body = b"".join(
        struct.pack(order + "HHI", tag, kind, count) + value for tag, kind, count, value in entries
    )
    return struct.pack(order + "H", len(entries)) + body + struct.pack(order + "I", following)
