"""Errors and warnings outside the bitstream. Each kind of error has its own class and exit code."""

from __future__ import annotations

import sys

# A warning points at the code that called these.
_OURS = ("vqcodec", "PIL")


class VqcodecError(Exception):
    """Base class of errors that a user can cause. The message is one line that says what is wrong."""

    exit_code = 1


class RequestError(VqcodecError):
    """The request makes no sense: options or files do not go together."""

    exit_code = 2


class ImageError(VqcodecError):
    """A picture cannot be read, or is of a kind that cannot be compressed."""

    exit_code = 3


class ModelError(VqcodecError):
    """A model file is missing, unreadable, or not the one that a `.vqc` file was made with."""

    exit_code = 5


class TargetError(VqcodecError):
    """No setting reaches the requested size."""

    exit_code = 6


class WriteError(VqcodecError):
    """An output cannot be written, or already exists."""

    exit_code = 7


class Interrupted(VqcodecError):  # noqa: N818 - not an error
    """The user pressed Ctrl-C."""

    exit_code = 130


class LossWarning(UserWarning):
    """Some part of the source is not kept."""


class TruncatedWarning(LossWarning):
    """A truncated file is decoded only as far as it goes."""


class ConcealedWarning(LossWarning):
    """Parts of a damaged file are filled in or left out."""


def caller() -> int:
    """Return the `stacklevel` with which `warnings.warn` points at the code that called this package or Pillow."""
    frame, level = sys._getframe(1), 1
    while frame.f_globals.get("__name__", "").partition(".")[0] in _OURS and frame.f_back:
        frame, level = frame.f_back, level + 1
    return level
