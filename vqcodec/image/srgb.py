"""Convert what ICC profiles describe to sRGB, strip by strip, with littlecms."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageCms

from vqcodec.errors import LossWarning

# Pixels converted at a time, so that a large picture is never in memory twice.
STRIP = 1 << 22
# Profiles that move no colour by more than this are sRGB: littlecms rounds, and profiles are rounded.
_NEAR = 2
# Difference between the channels of a grey below which it counts as grey.
_NEUTRAL = 2


class ProfileError(ValueError):
    """A profile cannot be applied."""


def kind_of(icc: bytes) -> bytes:
    """Return the four bytes that name the colour space of a profile, such as `b"RGB "` or `b"GRAY"`."""
    return bytes(icc[16:20])


class ToSrgb:
    """Converts pixels from an ICC profile to sRGB, with relative colours and an adapted black.

    Args:
        icc: profile of the kind RGB, GRAY or CMYK.

    Attributes:
        changes: whether the profile differs from sRGB.
        greys: (256,) uint8, the value in sRGB of each grey, or `None` if greys do not come out grey.

    Raises:
        ProfileError: the profile is damaged or of another kind.
    """

    def __init__(self, icc: bytes) -> None:
        mode = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}.get(kind_of(icc))
        if mode is None:
            raise ProfileError("a profile of an unknown kind")
        self._mode = mode
        self._transform = _transform(icc, mode)
        self.greys: np.ndarray | None = None
        self.changes = True
        if mode == "CMYK":
            return
        ramp = np.arange(256, dtype=np.uint8)
        # Few and fine: littlecms rounds the curves of larger amounts.
        exact = _transform(icc, mode, ImageCms.Flags.NOOPTIMIZE)
        out = np.asarray(_through(exact, Image.fromarray(ramp[None]).convert(mode)))[0].astype(int)
        if mode == "L" or int(np.ptp(out, 1).max()) <= _NEUTRAL:
            # Green carries most of the light.
            self.greys = ramp if np.abs(out - ramp[:, None]).max() <= _NEAR else out[:, 1].astype(np.uint8)
        if mode == "L":
            self.changes = self.greys is not ramp
            return
        steps = np.linspace(0, 255, 18).round().astype(np.uint8)
        cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
        self.changes = int(np.abs(self._apply(cube).astype(int) - cube).max()) > _NEAR

    def pixels(self, pixels: np.ndarray) -> None:
        """Convert pixels (height, width, 3) uint8 in place."""
        if not self.changes:
            return
        rows = max(1, STRIP // pixels.shape[1])
        for top in range(0, len(pixels), rows):
            strip = pixels[top : top + rows]
            if self._mode == "L" and self.greys is not None:
                strip[:] = self.greys[strip]
            else:
                strip[:] = self._apply(strip)

    def image(self, image: Image.Image) -> Image.Image:
        """Convert a strip of an image in the mode of the profile's kind to mode RGB."""
        return _through(self._transform, image)

    def _apply(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(self.image(Image.fromarray(np.ascontiguousarray(pixels))))


def _transform(icc: bytes, mode: str, flags: int = 0) -> ImageCms.ImageCmsTransform:
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION | flags,
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise ProfileError(str(error)) from error


def _through(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    out = transform.apply(image)
    assert out is not None  # only a conversion in place returns none
    return out


def converted(image: Image.Image, icc: bytes) -> Image.Image:
    """Return an image in sRGB, of the same mode. Its `info` is empty.

    Warns with `LossWarning` if the profile cannot be applied, and takes the colours for sRGB.

    Args:
        image: mode L, LA, RGB or RGBA.
        icc: profile of its colours.
    """
    grey = image.mode in ("L", "LA")
    out = image.copy()
    out.info = {}
    to_srgb = usable(icc, grey)
    if to_srgb is None:
        return out
    if grey:
        assert to_srgb.greys is not None  # `usable` has looked
        table = to_srgb.greys.tolist()
        return out.point(table + (list(range(256)) if image.mode == "LA" else []))
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height if to_srgb.changes else 0, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        colours = to_srgb.image(strip.convert("RGB"))
        if image.mode == "RGBA":
            colours.putalpha(strip.getchannel("A"))
        out.paste(colours, (0, top))
    return out


def usable(icc: bytes, grey: bool) -> ToSrgb | None:
    """Return the conversion of a profile, or `None` with a `LossWarning` if pictures of this kind cannot use it."""
    try:
        found = ToSrgb(icc)
        if found.greys is not None if grey else kind_of(icc) == b"RGB ":
            return found
    except ProfileError:
        pass
    warnings.warn(
        "the ICC profile cannot be applied; the colours are taken for sRGB", LossWarning, stacklevel=4
    )
    return None
