"""What the numbers of a picture mean: primaries and transfer curves, as profiles or on the way to sRGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vqcodec.image.profile import rgb_profile

SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
PROPHOTO = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
# Exponent that Adobe RGB (1998) defines.
ADOBE_GAMMA = 563 / 256
# Number of positions of a curve: the values of 16 bits.
POSITIONS = 1 << 16

_D65 = (0.3127, 0.3290)
# Chromaticities of ITU-T H.273 by code: x and y of white, red, green and blue.
_PRIMARIES = {
    1: SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    10: (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
# Exponents of H.273's transfer functions. Those of video are shown as sRGB, as browsers do.
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_UNSUPPORTED = {9: "logarithmic", 10: "logarithmic", 16: "PQ", 18: "HLG"}
_NAMES: dict[tuple[float, ...], str] = {
    SRGB: "sRGB primaries",
    ADOBE: "Adobe RGB (1998) compatible",
    PROPHOTO: "ROMM RGB",
}
_NAMES |= {_PRIMARIES[9]: "BT.2020", _PRIMARIES[11]: "DCI-P3", _PRIMARIES[12]: "Display P3"}
# Difference of chromaticities below which files mean the same: they are rounded.
NEAR = 0.003
# Curves with exponents in between are even enough to the eye to be coded as they are.
_EVEN = (1.5, 3.2)


@dataclass(frozen=True, eq=False)
class Colours:
    """A colour space as files describe it.

    Attributes:
        chromaticities: x and y of white, red, green and blue.
        transfer: exponent from stored to linear values, or a table (3, n) of linear values 0..1 by stored
            value; `None` for the curve of sRGB.
        full_range: whether 0 is black and 255 white. If not, 16 is black and 235 white.
        unsupported: name of the real transfer if nothing here stands for it, such as "PQ".
    """

    chromaticities: tuple[float, ...] = SRGB
    transfer: float | np.ndarray | None = None
    full_range: bool = True
    unsupported: str | None = None

    @classmethod
    def coded(cls, primaries: int, transfer: int, full_range: bool = True) -> Colours | None:
        """Return the colours of two codes of ITU-T H.273, or `None` if they leave everything open."""
        if primaries not in _PRIMARIES and transfer in (0, 2, 3) and full_range:
            return None
        return cls(
            _PRIMARIES.get(primaries, SRGB),
            _EXPONENTS.get(transfer),
            full_range,
            _UNSUPPORTED.get(transfer),
        )


@dataclass(frozen=True, eq=False)
class Meaning:
    """How to read a picture's numbers.

    Attributes:
        icc: profile of the numbers after the curve, or `None` for sRGB.
        curve: (3, 65536) float32 0..1 to apply to the numbers first, or `None`.
    """

    icc: bytes | None = None
    curve: np.ndarray | None = None


def meaning_of(colours: Colours, grey: bool) -> Meaning:
    """Return the profile and the curve that together say the same as `colours`.

    Numbers with the primaries of sRGB are converted to sRGB, which clips nothing. Other primaries become a
    profile, and their numbers stay, but for curves so uneven that coding them would cost detail.

    Args:
        colours: the colour space.
        grey: whether the picture has one channel, for which primaries mean nothing.

    Raises:
        ValueError: the chromaticities are impossible.
    """
    transfer = colours.transfer
    near = max(abs(a - b) for a, b in zip(colours.chromaticities, SRGB, strict=True)) <= NEAR
    if grey or near:
        plain = transfer is None and colours.full_range
        return Meaning(None, None if plain else _curve(transfer, colours.full_range))
    name = _NAMES.get(colours.chromaticities, "RGB by chromaticities")
    if isinstance(transfer, float) and _EVEN[0] <= transfer <= _EVEN[1]:
        exponent = transfer
        curve = None if colours.full_range else _curve(None, False)
    else:
        exponent = None
        plain = transfer is None and colours.full_range
        curve = None if plain else _curve(transfer, colours.full_range)
    return Meaning(rgb_profile(colours.chromaticities, exponent, name), curve)


def applied(curve: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return pixels (..., 3) uint8 with a curve of `Meaning` applied."""
    table = np.rint(255 * curve[:, :: POSITIONS // 255]).astype(np.uint8)
    return np.stack([table[channel][pixels[..., channel]] for channel in range(3)], -1)


def _curve(transfer: float | np.ndarray | None, full_range: bool) -> np.ndarray:
    """Return the curve (3, 65536) from stored values to those of sRGB."""
    stored = np.linspace(0, 1, POSITIONS)
    if not full_range:
        stored = np.clip((255 * stored - 16) / 219, 0, 1)
    if transfer is None:
        out = stored[None]
    elif isinstance(transfer, float):
        out = _as_srgb(stored**transfer)[None]
    else:
        at = np.linspace(0, 1, transfer.shape[1])
        out = np.stack([_as_srgb(np.interp(stored, at, channel)) for channel in transfer])
    return np.broadcast_to(out, (3, POSITIONS)).astype(np.float32)


def _as_srgb(linear: np.ndarray) -> np.ndarray:
    """Return linear values 0..1 with the curve of IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
