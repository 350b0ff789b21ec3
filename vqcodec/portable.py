"""Codecs that are sent to other processes: what is pickled is where to load them again."""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vqcodec.errors import ModelError
from vqcodec.forks import surviving_lock
from vqcodec.weights import ModelFile, load_model, released_model

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from vqcodec.runtime.transform import Transform


@dataclass(frozen=True)
class _Origin:
    """What a codec was made of.

    Attributes:
        model: name if it is a released one, else absolute path; `None` if it is in memory only.
        released: whether it is a released one, which the other side may have in another place.
        model_id: 4 bytes that identify it.
        device: name of the torch device.
        dtype: dtype that was asked for.
        runtime: runtime that was asked for.
    """

    model: str | None
    released: bool
    model_id: bytes
    device: str
    dtype: torch.dtype | None
    runtime: str | None


class Portable:
    """Base class of a codec that can be pickled, and copied with settings of its own.

    A pickle holds the path or name of the model, not its weights. Unpickled codecs of one process share the
    networks, so it costs little to send one with every task.

    Args:
        file, device, dtype, runtime: see `Codec`, which has the same arguments.
    """

    transform: Transform

    def __init__(
        self, file: ModelFile, device: str | torch.device, dtype: torch.dtype | None, runtime: str | None
    ) -> None:
        self._origin = _Origin(*_where(file), file.model_id, str(device), dtype, runtime)

    def __copy__(self) -> Self:
        """Return a codec with the same networks and its own `transform.realism`."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.transform = copy.copy(self.transform)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        if self._origin.model is None:
            raise pickle.PicklingError(
                "a codec of a model without a file cannot be pickled: save the model, and load the codec from there"
            )
        return _load_again, (type(self), self._origin, self.transform.realism)


def _where(file: ModelFile) -> tuple[str | None, bool]:
    """Return the first two attributes of an origin."""
    if file.path is None:
        return None, False
    path, name = os.path.abspath(file.path), file.path.stem
    released = path == os.path.abspath(released_model(name))
    return (name if released else path), released


_loaded: dict[tuple[type[Portable], _Origin], Portable] = {}
_loading = surviving_lock()


def _load_again(kind: type[Portable], origin: _Origin, realism: float) -> Portable:
    """Return the codec of a pickle.

    Raises:
        ModelError: the model is missing, or its file has changed.
    """
    with _loading:
        if (kind, origin) not in _loaded:
            assert origin.model is not None
            file = load_model(released_model(origin.model) if origin.released else origin.model)
            if file.model_id != origin.model_id:
                raise ModelError(
                    f"{file.path}: the pickled codec has model {origin.model_id.hex()}, "
                    f"but this file is now model {file.model_id.hex()}"
                )
            _loaded[kind, origin] = kind(file, origin.device, origin.dtype, origin.runtime)
        codec = copy.copy(_loaded[kind, origin])
    codec.transform.realism = realism
    return codec
