"""Contents of `.vqc` files: from a path, an open file, or a buffer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, Union

from vqcodec.errors import ImageError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# What a file is read from: a path, a file that is open for reading, or a buffer such as bytes or a memory map.
FileLike: TypeAlias = Union[str, "os.PathLike[str]", BinaryIO, "Buffer"]


def contents(source: FileLike) -> Buffer:
    """Return the contents of a file as a contiguous buffer. Buffers are not copied.

    Args:
        source: path, file that is open in binary mode (read from where it stands to its end), or buffer.

    Raises:
        vqcodec.errors.ImageError: the file cannot be read, or `source` is none of these.
    """
    if isinstance(source, (str, os.PathLike)):
        try:
            with open(source, "rb") as file:
                return file.read()
        except (OSError, ValueError) as error:
            # ValueError: the path has a null character.
            fault = getattr(error, "strerror", None) or error
            raise ImageError(f"{os.fspath(source)}: {fault}") from error
    view = _view(source)
    if view is None and hasattr(source, "read"):
        try:
            found = source.read()
        except (OSError, ValueError) as error:
            raise ImageError(f"the open file cannot be read: {error}") from error
        if isinstance(found, str):
            raise ImageError("the file is open as text: open it with mode 'rb'")
        view = _view(found)
    if view is None:
        raise ImageError(
            f"{type(source).__name__} is no .vqc file: pass a path, a file that is open for reading, or bytes"
        )
    return view if view.c_contiguous else view.tobytes()


def _view(source: Any) -> memoryview | None:
    try:
        return memoryview(source)
    except TypeError:
        return None
