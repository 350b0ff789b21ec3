"""Optional packages of the bench, imported where they are used and named clearly where they are missing."""

import importlib
from types import ModuleType

from vqcodec.errors import VqcodecError


class MissingExtraError(VqcodecError):
    """A package of an optional extra, or the weights it needs, are not there; a package comes with its pip command."""


def require(module: str, package: str, purpose: str, install: str = "'vqcodec[bench]'") -> ModuleType:
    """Import an optional module.

    Args:
        module: import name, such as `matplotlib.pyplot`.
        package: name on the package index, such as `matplotlib`.
        purpose: what needs it, the subject of the message: `the plots`, `codec jxl`.
        install: what to hand to `pip install`.

    Raises:
        MissingExtraError: the module cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing(package, purpose, install, cause=error) from error


def missing(
    package: str, purpose: str, install: str = "'vqcodec[bench]'", cause: ImportError | None = None
) -> MissingExtraError:
    """The error for a package that is not there, for callers that do not look for it by importing it."""
    why = f" ({str(cause).splitlines()[0]})" if cause and str(cause) else ""
    return MissingExtraError(f"{package}, which {purpose} needs, cannot be used{why}: pip install {install}")
