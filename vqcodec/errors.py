"""What can go wrong outside the bitstream, one class per kind of fault, each with an exit code of its own."""


class VqcodecError(Exception):
    """Base of the errors that a user can cause; the message is one line that says what is wrong."""

    exit_code = 1


class RequestError(VqcodecError):
    """What was asked for makes no sense: options or files that do not go together."""

    exit_code = 2


class ImageError(VqcodecError):
    """A picture cannot be read or is of a kind that cannot be compressed."""

    exit_code = 3


class ModelError(VqcodecError):
    """A model file is missing, unreadable, or not the one that a `.vqc` file was made with."""

    exit_code = 5


class TargetError(VqcodecError):
    """No setting reaches the size that was asked for."""

    exit_code = 6


class WriteError(VqcodecError):
    """An output cannot be written, or is there already."""

    exit_code = 7


class Interrupted(VqcodecError):  # noqa: N818 - not a fault
    """The user pressed Ctrl-C."""

    exit_code = 130


class LossWarning(UserWarning):
    """Something of the source is not kept."""


class TruncatedWarning(LossWarning):
    """A truncated file is shown as far as it goes."""


class ConcealedWarning(LossWarning):
    """Parts of a damaged file are made up or left out."""
