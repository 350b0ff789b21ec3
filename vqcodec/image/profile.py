"""Write compact ICC profiles, and the arithmetic of chromaticities behind them."""

from __future__ import annotations

import struct

import numpy as np

# Reference white of profiles, as the ICC specification rounds it.
_D50 = np.array([0.9642, 1.0, 0.8249])
# Cone responses of the Bradford adaptation.
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# g, a, b, c, d of the curve of IEC 61966-2-1: (a x + b)^g from d on, c x below.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def colorants(chromaticities: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the XYZ columns of red, green and blue (3, 3), and the adaptation to D50 (3, 3) that is in them.

    Args:
        chromaticities: x and y of white, red, green and blue.

    Raises:
        ValueError: no three lights have these chromaticities and give this white.
    """
    points = np.array(chromaticities, np.float64).reshape(4, 2)
    if not np.isfinite(points).all() or points[0, 1] <= 0:
        raise ValueError("chromaticities out of range")
    white, *lights = (np.array([x, y, 1 - x - y]) for x, y in points)
    mixture = np.column_stack(lights)
    # Points that lie almost on a line span no gamut.
    if abs(np.linalg.det(mixture)) < 1e-3:
        raise ValueError("chromaticities of no gamut")
    white = white / white[1]
    strengths = np.linalg.solve(mixture, white)
    if (strengths <= 0).any():
        raise ValueError("white outside the gamut")
    cones = _BRADFORD @ _D50 / (_BRADFORD @ white)
    adaptation = np.linalg.solve(_BRADFORD, cones[:, None] * _BRADFORD)
    return adaptation @ (mixture * strengths), adaptation


def rgb_profile(chromaticities: tuple[float, ...], exponent: float | None, name: str) -> bytes:
    """Return an ICC profile, version 4, of some 500 bytes.

    Args:
        chromaticities: x and y of white, red, green and blue.
        exponent: of the curve from stored to linear values, such as 2.2; `None` for the curve of sRGB.
        name: ASCII; what programs call the profile.

    Raises:
        ValueError: see `colorants`.
    """
    columns, adaptation = colorants(chromaticities)
    numbers = _SRGB_CURVE if exponent is None else (exponent,)
    curve = b"para\0\0\0\0" + struct.pack(">HH", 0 if exponent is not None else 3, 0) + _fixed(numbers)
    tags = [
        (b"desc", _text(name)),
        (b"cprt", _text("CC0")),
        (b"wtpt", b"XYZ \0\0\0\0" + _fixed(_D50)),
        (b"chad", b"sf32\0\0\0\0" + _fixed(adaptation.ravel())),
        *(
            (tag, b"XYZ \0\0\0\0" + _fixed(columns[:, i]))
            for i, tag in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))
        ),
        *((tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    offset = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    table, data = struct.pack(">I", len(tags)), b""
    for tag, body in tags:
        # Equal bodies are stored once.
        if body not in places:
            places[body] = offset + len(data)
            data += body + bytes(-len(body) % 4)
        table += tag + struct.pack(">II", places[body], len(body))
    header = struct.pack(">I4xI", offset + len(data), 0x04300000) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return header.ljust(128, b"\0") + table + data


def _fixed(numbers: np.ndarray | tuple[float, ...]) -> bytes:
    return b"".join(struct.pack(">i", round(float(number) * 65536)) for number in numbers)


def _text(text: str) -> bytes:
    body = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II", 1, 12) + b"enUS" + struct.pack(">II", len(body), 28) + body
