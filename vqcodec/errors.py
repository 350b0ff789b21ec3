"""What can go wrong outside the bitstream, one class per kind of fault."""


class VqcodecError(Exception):
    """Base of the errors that a user can cause; the message is one line that names the file and the fault."""


class ModelError(VqcodecError):
    """A model file is missing, unreadable, or not the one that a `.vqc` file was made with."""


class ImageError(VqcodecError):
    """A picture cannot be read or is of a kind that cannot be compressed."""


class TargetError(VqcodecError):
    """No setting reaches the size that was asked for."""


class LossWarning(UserWarning):
    """Something of the source is not kept, or a damaged file is shown in part."""
