"""Which library runs the networks of a model: ONNX Runtime or torch.

Torch runs every model on every device, and training needs it, but it takes more than a second to load. ONNX Runtime
loads in a tenth of that. Without bfloat16, which it lacks on CPUs, it is as fast; with it, torch is twice as fast.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vqcodec import forks
from vqcodec.config import ModelConfig
from vqcodec.errors import RequestError
from vqcodec.extras import missing
from vqcodec.planes import Planes
from vqcodec.runtime.networks import LatentsOf, Networks, Part
from vqcodec.runtime.onnx import OnnxNetworks
from vqcodec.runtime.threads import limit_torch
from vqcodec.weights import ModelFile, graph_files

if TYPE_CHECKING:
    import torch

    from vqcodec.runtime.strips import Strips
    from vqcodec.runtime.windows import Windows

RUNTIMES = ("onnx", "torch")

MANY = 10
"""Pictures from which on torch is worth the time that it takes to load, if the CPU multiplies bfloat16."""

# Positions of the grid (6 megapixels) from which on torch is worth the time that it takes to load.
_LARGE = 24 * 1024


def networks_of(
    file: ModelFile,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    runtime: str | None = None,
) -> Networks:
    """What runs the networks of a model.

    Args:
        file: return value of `load_model`.
        device, dtype: see `in_torch`; anything but the defaults needs torch.
        runtime: "onnx" or "torch"; by default what is there, or the faster one of both.

    Raises:
        vqcodec.errors.RequestError: the runtime is not there, or cannot run this model on this device.
        vqcodec.errors.ModelError: the weights are not of the configuration of the model.
    """
    if runtime not in (None, *RUNTIMES):
        raise RequestError(f"runtime {runtime!r} is neither onnx nor torch")
    graphs = graph_files(file)
    why_not = _why_not_onnx(graphs, device, dtype)
    if runtime == "torch" or (runtime is None and why_not):
        return in_torch(file, device, dtype)
    if why_not:
        raise RequestError(f"ONNX Runtime cannot run this model: {why_not}")
    assert isinstance(file.config, ModelConfig)  # only this family has graphs
    onnx = OnnxNetworks(graphs, file.config)
    if runtime == "onnx" or not _is_there("torch"):
        return onnx
    if "torch" in sys.modules and native_bfloat16():
        return in_torch(file, device, dtype)
    return BySize(onnx, file)


def of_many(count: int) -> str | None:
    """The runtime to ask for where a process codes so many pictures: torch if that is worth the time to load it."""
    return "torch" if count >= MANY and _is_there("torch") and native_bfloat16() else None


def in_torch(
    file: ModelFile, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Strips | Windows:
    """What runs the networks of a model in torch.

    Args:
        file: return value of `load_model`.
        device: torch device that computes.
        dtype: dtype that the networks compute in; by default the fastest one. Imported models always compute in
            float32.

    Raises:
        vqcodec.extras.MissingExtraError: torch is not there.
        vqcodec.errors.RequestError: torch does not have this device here.
        vqcodec.errors.ModelError: the weights are not of the configuration of the model.
    """
    if not _is_there("torch"):
        raise missing("torch", "this model, device or runtime", "torch")
    import torch

    from vqcodec.model import TamingVQGAN
    from vqcodec.runtime.device import fastest_dtype, usable_device
    from vqcodec.runtime.strips import Strips
    from vqcodec.runtime.windows import Windows

    limit_torch()
    place = usable_device(device)
    network = file.network()
    # Torch's annotations of `Module.to` lack this form.
    network = network.to(place).to(memory_format=network.memory_format)  # type: ignore[call-overload]
    if isinstance(network, TamingVQGAN):
        return Windows(network)
    second = {
        name: torch.from_numpy(value).to(place).float() for name, value in (file.realistic or {}).items()
    }
    return Strips(network, dtype or fastest_dtype(place), second)


class BySize:
    """Runs small pictures with ONNX Runtime and large ones in torch, which is loaded when it is first needed.

    Args:
        onnx: runs the small ones.
        file: the model.
    """

    def __init__(self, onnx: OnnxNetworks, file: ModelFile) -> None:
        self._onnx = onnx
        self._file = file
        self._torch: Strips | Windows | None = None
        self._loading = forks.surviving_lock()

    @property
    def torch(self) -> Strips | Windows:
        """What runs the large ones."""
        with self._loading:
            if self._torch is None:
                self._torch = in_torch(self._file)
            return self._torch

    def analyse(self, pixels: np.ndarray, planes: Planes) -> Iterator[tuple[int, Part]]:
        """See `Networks.analyse`."""
        return self._of(planes).analyse(pixels, planes)

    def synthesise(
        self, latents: LatentsOf, planes: Planes, realism: float = 0.0, still: np.ndarray | None = None
    ) -> Iterator[Part]:
        """See `Networks.synthesise`."""
        return self._of(planes).synthesise(latents, planes, realism, still)

    def _of(self, planes: Planes) -> Networks:
        return self.torch if np.prod(planes.grid) >= _LARGE else self._onnx


def _why_not_onnx(
    graphs: dict[str, Path], device: str | torch.device, dtype: torch.dtype | None
) -> str | None:
    """Why ONNX Runtime cannot run a model with these graphs; `None` if it can."""
    if not _is_there("onnxruntime"):
        return "it is not installed"
    if str(device) != "cpu" or dtype is not None:
        return "it takes neither device nor dtype"
    if not graphs:
        return "there are no graphs beside the model file (`vqcodec export-onnx` writes them)"
    return None


def _is_there(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def native_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 in hardware, without loading torch to ask it."""
    if "torch" in sys.modules:
        from vqcodec.runtime.device import native_bfloat16 as torch_says

        return torch_says()
    if platform.system() != "Linux":
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return "avx512_bf16" in flags or "amx_bf16" in flags
