"""Write files atomically: whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vqcodec.errors import WriteError


@contextmanager
def replacing(path: Path, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, which becomes `path` if the block ends without an error.

    If the process stops at any moment, `path` holds what it held before, or everything. Missing directories
    are created and links followed. Pipes and devices are written directly.

    Raises:
        WriteError: the path exists and `overwrite` is false, or it cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with _writing(), target.open("wb") as file:
            yield file
        return
    with _writing():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise WriteError(f"{target.parent} is not a directory") from None
        if target.is_dir():
            raise WriteError("is a directory")
        if not overwrite and target.exists():
            raise FileExistsError
        temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
        try:
            # `tempfile` would make files that nobody else can read.
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _publish(temporary, target, overwrite)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()


def exists_already() -> WriteError:
    """Return the error for an output that exists and must not be replaced."""
    return WriteError("exists already (-f overwrites it, --skip-existing leaves it)")


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise exists_already() from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"cannot be written: {error.strerror or error}") from error


def _publish(temporary: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
    else:
        try:
            # Unlike a rename, a link never replaces a file that has appeared in the meantime.
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:
            # The file system has no hard links.
            if target.exists():
                raise FileExistsError from None
            os.replace(temporary, target)
    if os.name == "posix":
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
