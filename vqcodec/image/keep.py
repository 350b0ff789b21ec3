"""Which metadata to keep."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from bitstream import Metadata
from vqcodec.errors import RequestError
from vqcodec.image import tiff

_ITEMS = ("icc", "exif", "xmp")
_PARTS = ("gps", "thumbnail")
# Properties of any namespace whose name begins with GPS: cameras use `exif:`, drones their own.
_GPS_NAME = rb"[\w.-]+:(?i:gps)[\w.-]*"
_XMP_GPS = re.compile(
    rb"<(" + _GPS_NAME + rb")(?:\s[^<>]*)?(?:/>|(?<!/)>.*?</\1\s*>)"
    rb"|\s+" + _GPS_NAME + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')",
    re.DOTALL,
)


@dataclass(frozen=True)
class Keep:
    """A choice of metadata.

    Attributes:
        icc: the ICC profile. Without it, colours are converted to sRGB.
        exif, xmp: the whole of each.
        gps: positions in EXIF and XMP.
        thumbnail: the small picture in the EXIF. `compress` never keeps it.
    """

    icc: bool = True
    exif: bool = True
    xmp: bool = True
    gps: bool = True
    thumbnail: bool = True

    @classmethod
    def named(cls, keep: str | None = None, drop: str = "") -> Keep:
        """Return the choice that two lists of names make.

        Args:
            keep: names out of icc, exif and xmp with commas between them, or "all", or "none". The default is all.
            drop: names out of gps and thumbnail with commas between them.

        Raises:
            vqcodec.errors.RequestError: a name does not exist.
        """
        keep = "all" if keep is None else keep
        whole = {"all": _ITEMS, "none": ()}.get(keep.strip())
        kept = _names(keep, _ITEMS, "--keep", ", all or none") if whole is None else whole
        dropped = _names(drop, _PARTS, "--drop")
        return cls(
            **{name: name in kept for name in _ITEMS}, **{name: name not in dropped for name in _PARTS}
        )

    def of(self, metadata: Metadata) -> Metadata:
        """Return what is kept of metadata. The rest of the EXIF keeps its place."""
        exif = metadata.exif if self.exif else None
        xmp = metadata.xmp if self.xmp else None
        if not self.gps:
            exif = exif and tiff.without_gps(exif)
            xmp = xmp and _XMP_GPS.sub(b"", xmp)
        if not self.thumbnail:
            exif = exif and tiff.without_thumbnail(exif)
        return Metadata(metadata.icc if self.icc else None, exif or None, xmp or None)


def _names(text: str, known: Collection[str], option: str, others: str = "") -> set[str]:
    found = {name.strip() for name in text.split(",")} - {""}
    for name in sorted(found - set(known)):
        raise RequestError(f"{option} knows {', '.join(known)}{others}, not {name!r}")
    return found


ALL = Keep()
NONE = Keep(icc=False, exif=False, xmp=False)
