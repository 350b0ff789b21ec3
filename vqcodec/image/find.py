"""Find the pictures in folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from PIL import Image

from vqcodec.errors import ImageError

_OWN_SUFFIX = ".vqc"


def readable_suffixes() -> set[str]:
    """Return the lower-case suffixes of the formats that Pillow reads, without `.vqc`."""
    Image.init()
    found = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return found - {_OWN_SUFFIX}


def picture_suffixes() -> set[str]:
    """Return the lower-case suffixes of all formats that Pillow reads or writes, without `.vqc`."""
    Image.init()
    return set(Image.registered_extensions()) - {_OWN_SUFFIX}


def files_below(
    folder: Path,
    suffixes: Collection[str],
    follow_links: bool = False,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[Path]:
    """Yield the files with one of the suffixes in a folder and its subfolders, each sorted by name.

    Folders that cannot be read are left out, and their errors given to `on_error`.
    """
    for parent, folders, names in os.walk(folder, onerror=on_error, followlinks=follow_links):
        folders.sort()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in suffixes:
                yield Path(parent) / name


def pictures_below(*folders: Path) -> list[Path]:
    """Return the pictures in folders and their subfolders, each once, sorted by path. Links are followed.

    Raises:
        ImageError: there are none.
    """
    suffixes = readable_suffixes()
    found = sorted({path for folder in folders for path in files_below(folder, suffixes, follow_links=True)})
    if not found:
        raise ImageError(f"no pictures in {', '.join(map(str, folders))}")
    return found
