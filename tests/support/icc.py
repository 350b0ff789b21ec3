"""ICC profiles for the tests: real ones for RGB and grey, and one for CMYK that nobody would mistake for another."""

from __future__ import annotations

import functools
import struct

from PIL import ImageCms


@functools.cache
def rgb_profile() -> bytes:
    # The profile carries the second in which it was made.
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def cmyk_profile() -> bytes:
    """An output profile in which all inks, whatever their mixture, look between white and green."""
    white, green = (255, 128, 128), (150, 0, 255)  # L*, a*, b* in eight bits
    corners = [white if corner == 0 else green for corner in range(16)]
    ramp = bytes(range(256))
    table = (
        b"mft1\0\0\0\0"
        + bytes([4, 3, 2, 0])
        + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
        + 4 * ramp
        + b"".join(bytes(corner) for corner in corners)
        + 3 * ramp
    )
    white_point = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"Test\0" + bytes(78)
    bodies = [
        (b"desc", description),
        (b"wtpt", white_point),
        (b"A2B0", table),
        (b"cprt", b"text\0\0\0\0free\0"),
    ]
    offset = 128 + 4 + 12 * len(bodies)
    tags, data = struct.pack(">I", len(bodies)), b""
    for name, body in bodies:
        body += bytes(-len(body) % 4)
        tags += name + struct.pack(">2I", offset + len(data), len(body))
        data += body
    header = bytearray(128)
    header[0:4] = struct.pack(">I", offset + len(data))
    header[8:12] = b"\x02\x10\0\0"
    header[12:24] = b"prtrCMYKLab "
    header[24:36] = struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    return bytes(header) + tags + data


def grey_profile() -> bytes:
    """A display profile of one channel with gamma 1."""
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    white_point = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    offset = 128 + 4 + 24
    tags = struct.pack(">I", 2)
    tags += b"wtpt" + struct.pack(">2I", offset, len(white_point))
    tags += b"kTRC" + struct.pack(">2I", offset + len(white_point), len(curve))
    header = bytearray(128)
    header[0:4] = struct.pack(">I", offset + len(white_point) + len(curve))
    header[8:12] = b"\x02\x10\0\0"
    header[12:24] = b"mntrGRAYXYZ "
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    return bytes(header) + tags + white_point + curve
