"""Model files: find, verify, read and write them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vqcodec.codebooks import BandCodebooks, PlainCodebook, codebooks_of
from vqcodec.config import FAMILIES, ModelConfig, TamingConfig
from vqcodec.entropy.weights import ContextWeights, is_eight_bit
from vqcodec.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from vqcodec.model import VQGAN, TamingVQGAN

DEFAULT_MODEL = "photo"
FORMAT = "vqcodec-model-2"
CONTEXT_PREFIX = "context."
REALISTIC_PREFIX = "realistic."
TABLE_PREFIX = "table."
BASE_TABLES = "base_tables"
# Networks, whose weights are most of a file.
_LARGE = ("encoder.", "generator.", "decoder.", REALISTIC_PREFIX)
GRAPHS = ("encoder", "generator")
"""Names of the ONNX graphs of a model."""


@dataclass(frozen=True)
class ModelFile:
    """A model read from a file.

    Attributes:
        path: the file; `None` if the model comes from elsewhere.
        config: configuration of the model; its class says of which family.
        weights: of the network by name, float16 or float32, codebooks and rates included. Those of a file are read
            when they are needed, since ONNX Runtime reads the file itself.
        model_id: first 4 bytes of the SHA-256 of the file. Every `.vqc` file carries it.
        tables: of each layer, (K,) uint32 frequencies of the indices at coded positions; each sums to 2**16.
        context: integer weights of the context model. Without it, indices are coded with `tables`.
        base_tables: frequencies that the base is coded with, uint32 (see `vqcodec.entropy.base`); `None` for models
            without a base.
        notes: text metadata, such as training steps.
        realistic: weights of a second generator for the same indices, trained adversarially; `None` if there
            is none.
    """

    path: Path | None
    config: ModelConfig | TamingConfig
    weights: Mapping[str, np.ndarray]
    model_id: bytes
    tables: list[np.ndarray]
    context: ContextWeights | None = None
    base_tables: np.ndarray | None = None
    notes: dict[str, str] = field(default_factory=dict)
    realistic: Mapping[str, np.ndarray] | None = None

    @cached_property
    def codebooks(self) -> list[BandCodebooks | PlainCodebook]:
        """The codebooks of each band."""
        return codebooks_of(self.config, self.weights)

    def network(self) -> VQGAN | TamingVQGAN:
        """Build the network in torch, float32, in evaluation mode, with weights of its own.

        Raises:
            ModelError: the weights are not of the configuration.
        """
        from vqcodec.model import network

        try:
            return network(self.config, self.weights)
        except ValueError as error:
            raise ModelError(f"{self.path}: cannot read the model: {error}") from error


def find_model(name: str | os.PathLike | None = None) -> Path:
    """Return the path of a model file, given its path or the name of a released model ("photo" by default).

    Raises:
        ModelError: there is no such file and no such released model.
    """
    name = DEFAULT_MODEL if name is None else name
    if Path(name).is_file():
        return Path(name)
    released = released_model(name)
    if released.is_file():
        return released
    known = sorted(path.stem for path in released.parent.glob("*.safetensors"))
    raise ModelError(
        f"{name}: no such model file, and not a released model ({', '.join(known) or 'none installed'})"
    )


def released_model(name: str | os.PathLike) -> Path:
    """Return the path at which a released model would be, by its name."""
    return Path(str(files("vqcodec"))) / "models" / f"{name}.safetensors"


def graph_files(file: ModelFile) -> dict[str, Path]:
    """Return the ONNX graphs beside a model file by name; none unless there are all, for just this model.

    `vqcodec.training.onnx` writes them. Their weights are those in the model file.
    """
    if file.path is None:
        return {}
    found = {name: graph_path(file.path, file.model_id, name) for name in GRAPHS}
    return found if all(path.is_file() for path in found.values()) else {}


def graph_path(path: Path, model_id: bytes, name: str) -> Path:
    """Return where a graph of a model file belongs, by its name."""
    return path.with_name(f"{path.stem}-{model_id.hex()}-{name}.onnx")


def load_model(name: str | os.PathLike | None = None) -> ModelFile:
    """Read a model file, given its path or the name of a released model ("photo" by default).

    Raises:
        ModelError: the file is missing, damaged, or not a model of this version.
    """
    path = find_model(name)
    try:
        model_id = _model_id(path)
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            large = [name for name in names if name.startswith(_LARGE)]
            tensors = {name: file.get_tensor(name) for name in names if name not in large}
        if metadata.get("format") != FORMAT:
            raise ModelError(f"{path}: not a {FORMAT} file")
        found = _taken(tensors, TABLE_PREFIX)
        tables = [found[str(layer)].astype(np.uint32) for layer in range(len(found))]
        base_tables = tensors.pop(BASE_TABLES).astype(np.uint32) if BASE_TABLES in tensors else None
        context = {name: value.astype(np.int32) for name, value in _taken(tensors, CONTEXT_PREFIX).items()}
        weights = ContextWeights.from_tensors(context) if context else None
        network = [name for name in large if not name.startswith(REALISTIC_PREFIX)]
        second = [name for name in large if name.startswith(REALISTIC_PREFIX)]
        config = FAMILIES[metadata["family"]].from_json(metadata["config"])
        model = ModelFile(
            path,
            config,
            _StoredWeights(path, model_id, tensors, network),
            model_id,
            tables,
            weights,
            base_tables,
            metadata,
            _StoredWeights(path, model_id, {}, second, REALISTIC_PREFIX) if second else None,
        )
        model.codebooks  # noqa: B018 - looks whether they are of this configuration
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: cannot read the model: {error}") from error
    return model


class _StoredWeights(Mapping[str, np.ndarray]):
    """Weights of which some are in memory, and others are read from a file when the first of them is needed.

    Args:
        path: the file.
        model_id: of the file.
        there: those in memory, by name.
        names: those in the file.
        prefix: of their names in the file, which is left out here.
    """

    def __init__(
        self, path: Path, model_id: bytes, there: dict[str, np.ndarray], names: list[str], prefix: str = ""
    ) -> None:
        self._path = path
        self._model_id = model_id
        self._there = there
        self._missing = {name.removeprefix(prefix): name for name in names}
        self._names = [*there, *self._missing]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._there and name in self._missing:
            self._read()
        return self._there[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _read(self) -> None:
        """Read what is missing.

        Raises:
            ModelError: the file has changed, or is gone.
        """
        try:
            if _model_id(self._path) != self._model_id:
                raise ModelError(f"{self._path}: this file is another model than it was when it was loaded")
            with safe_open(self._path, "np") as file:
                self._there |= {name: file.get_tensor(stored) for name, stored in self._missing.items()}
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{self._path}: cannot read the model: {error}") from error


def _model_id(path: Path) -> bytes:
    """First 4 bytes of the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 18):
            digest.update(part)
    return digest.digest()[:4]


def _taken(tensors: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Take the tensors whose names begin with a prefix out of a dictionary; names without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}


def save_model(
    path: Path,
    model: VQGAN | TamingVQGAN,
    tables: Sequence[np.ndarray],
    context: ContextWeights | None = None,
    base_tables: np.ndarray | None = None,
    notes: dict[str, str] | None = None,
    realistic: dict[str, Tensor] | None = None,
) -> bytes:
    """Write a model file and return its model id, 4 bytes.

    Weights are stored in the dtype that the model family asks for.

    Args:
        path: file to write; it is replaced atomically.
        model: the network.
        tables: of each layer, (K,) integer frequencies of at least 1 that sum to 2**16.
        context: integer weights of a context model.
        base_tables: integer frequencies of at least 1 that the base is coded with.
        notes: additional text metadata, such as training steps.
        realistic: weights of a second generator, trained adversarially.
    """
    tensors = {name: _stored(value.to(model.stored_as)) for name, value in model.state_dict().items()}
    tensors["latent_rms"] = _stored(model.latent_rms.float())
    # Frequencies stay below 2**16 because every codeword has at least 1.
    for layer, table in enumerate(tables):
        tensors[f"{TABLE_PREFIX}{layer}"] = table.astype(np.uint16)
    if base_tables is not None:
        tensors[BASE_TABLES] = base_tables.astype(np.uint16)
    for name, array in context.tensors().items() if context else ():
        kind = np.int8 if is_eight_bit(name) else np.int32
        tensors[CONTEXT_PREFIX + name] = np.ascontiguousarray(array, kind)
    for name, tensor in (realistic or {}).items():
        tensors[REALISTIC_PREFIX + name] = _stored(tensor.to(model.stored_as))
    metadata = {
        "format": FORMAT,
        "family": model.config.family,
        "config": model.config.to_json(),
        **(notes or {}),
    }
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={key: str(value) for key, value in sorted(metadata.items())})
    temporary.chmod(0o644)
    os.replace(temporary, path)
    return _model_id(path)


def _stored(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.cpu().numpy())


def frequencies(counts: np.ndarray, total: int = 1 << 16) -> np.ndarray:
    """Turn counts (..., K) into integer frequencies of at least 1 that sum to `total` along the last axis.

    Returns:
        uint32 array of the same shape.
    """
    counts = np.asarray(counts, np.float64)
    size = counts.shape[-1]
    share = counts / np.maximum(counts.sum(-1, keepdims=True), 1e-300)
    exact = share * (total - size)
    result = np.floor(exact).astype(np.int64) + 1
    # Give what rounding down left over to the largest remainders.
    order = np.argsort(result - 1 - exact, axis=-1, kind="stable")
    left = total - result.sum(-1, keepdims=True)
    np.put_along_axis(result, order, np.take_along_axis(result, order, -1) + (np.arange(size) < left), -1)
    return result.astype(np.uint32)
