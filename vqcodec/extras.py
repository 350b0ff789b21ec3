"""Optional packages: import them where they are used, and name the pip command where they are missing."""

import importlib
from types import ModuleType

from vqcodec.errors import VqcodecError


class MissingExtraError(VqcodecError):
    """A package of an optional extra, or the weights it needs, are missing; for a package, the pip command is named."""


def require(module: str, package: str, purpose: str, install: str = "'vqcodec[bench]'") -> ModuleType:
    """Import an optional module.

    Args:
        module: import name, such as `matplotlib.pyplot`.
        package: name on the package index, such as `matplotlib`.
        purpose: what needs it, the subject of the message: `the plots`, `codec jxl`.
        install: arguments of the `pip install` that the message names; the extra "bench" by default.

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
    """Return the error for a missing package, for callers that import it themselves; arguments as of `require`."""
    why = f" ({str(cause).splitlines()[0]})" if cause and str(cause) else ""
    return MissingExtraError(f"{package}, which {purpose} needs, cannot be used{why}: pip install {install}")
