"""The pictures that a run measures."""

import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vqcodec.errors import ImageError, LossWarning, RequestError
from vqcodec.image.find import files_below, readable_suffixes
from vqcodec.image.picture import read


@dataclass(frozen=True)
class Original:
    """A picture to be coded.

    Attributes:
        name: path below the parent of the given folder, such as `kodak/kodim01.png`.
        path: the file.
        width: width in pixels, upright.
        height: height in pixels, upright.
        pixels: CRC-32 of the RGB pixels, to detect a changed picture.
    """

    name: str
    path: Path
    width: int
    height: int
    pixels: int


def read_image(path: Path) -> Image.Image:
    """Read the upright 8-bit RGB pixels of a picture.

    Metadata and alpha are dropped, so that no codec pays for them.

    Raises:
        ImageError: the file is not a picture that Pillow can read.
    """
    try:
        with warnings.catch_warnings():
            # All codecs get the same pixels, without anything else that the file holds.
            warnings.simplefilter("ignore", LossWarning)
            picture = read(path, keep_metadata=False)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    return Image.fromarray(picture.pixels)


def find_originals(places: Sequence[Path]) -> list[Original]:
    """Find the pictures in folders (searched recursively) and files, sorted by name.

    Raises:
        ImageError: there are none, or one cannot be read.
        RequestError: two have the same name.
    """
    paths: dict[str, Path] = {}
    suffixes = readable_suffixes()
    for place in places:
        place = place.resolve()
        for path in files_below(place, suffixes) if place.is_dir() else [place]:
            name = path.relative_to(place.parent).as_posix()
            if paths.setdefault(name, path) != path:
                raise RequestError(f"{paths[name]} and {path} would both be called {name}")
    if not paths:
        raise ImageError(f"no pictures in {', '.join(str(place) for place in places)}")
    return [_describe(name, path) for name, path in sorted(paths.items())]


def _describe(name: str, path: Path) -> Original:
    image = read_image(path)
    return Original(name, path, *image.size, zlib.crc32(image.tobytes()))
