"""The pictures that a run is made on."""

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
        name: its path below the folder above the one that was asked for, such as `kodak/kodim01.png`.
        path: where it is.
        width: in pixels, upright.
        height: likewise.
        pixels: CRC-32 of its RGB pixels, by which a changed picture is noticed.
    """

    name: str
    path: Path
    width: int
    height: int
    pixels: int


def read_image(path: Path) -> Image.Image:
    """The upright 8-bit RGB pixels of a picture, without metadata or alpha, so that no codec pays for them.

    Raises:
        ImageError: it is not a picture that Pillow can read.
    """
    try:
        with warnings.catch_warnings():
            # All codecs get the same pixels, whatever the file had beside them.
            warnings.simplefilter("ignore", LossWarning)
            picture = read(path, keep_metadata=False)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    return Image.fromarray(picture.pixels)


def find_originals(places: Sequence[Path]) -> list[Original]:
    """The pictures in folders (searched through) and files, by name.

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
