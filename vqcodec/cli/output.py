"""Write files atomically: whole or not at all."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vqcodec.errors import LossWarning, WriteError


@contextmanager
def replacing(path: Path, overwrite: bool = False, like: os.stat_result | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, which becomes `path` if the block ends without an error.

    If the process stops at any moment, `path` holds what it held before, or everything. Missing directories
    are created and links followed. Pipes and devices are written directly.

    A file that is replaced keeps its permissions, and its owner if the system lets it.

    Args:
        path: file to write.
        overwrite: whether it may replace a file.
        like: status of a file whose times and permissions to take. Warns with `LossWarning` if the system
            does not let it.

    Raises:
        WriteError: the path exists and `overwrite` is false, or it cannot be written.
    """
    target = Path(os.path.realpath(path))
    # Not the methods of `Path`, which raise errors for names that are too long.
    if os.path.exists(target) and not os.path.isfile(target) and not os.path.isdir(target):
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
        before = target.stat() if target.exists() else None
        # A name has up to 255 bytes, and a character up to 4.
        temporary = target.with_name(f".{target.name[:60]}.{secrets.token_hex(4)}.tmp")
        # Nobody may read the file before it has the permissions that it ends with.
        mode = 0o600 if before or like else 0o666
        try:
            # `tempfile` would make files that nobody else can read.
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if before:
                _keep_owner_and_mode(temporary, before)
            if like:
                _keep_mode_and_times(temporary, like)
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


def _keep_owner_and_mode(file: Path, before: os.stat_result) -> None:
    if hasattr(os, "chown"):
        for user, group in ((-1, before.st_gid), (before.st_uid, -1)):
            with suppress(OSError):
                os.chown(file, user, group)
    with suppress(OSError):
        _set_mode(file, before)


def _keep_mode_and_times(file: Path, like: os.stat_result) -> None:
    try:
        _set_mode(file, like)
        os.utime(file, ns=(like.st_atime_ns, like.st_mtime_ns))
    except OSError as error:
        text = f"times and permissions are not kept: {error.strerror or error}"
        warnings.warn(text, LossWarning, stacklevel=2)


def _set_mode(file: Path, like: os.stat_result) -> None:
    # Elsewhere a mode says only whether a file can be written, and that it can no longer be renamed.
    if os.name == "posix":
        os.chmod(file, like.st_mode & 0o777)


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
