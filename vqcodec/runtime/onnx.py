"""Run the networks of a `VQGAN` with ONNX Runtime, window by window, without torch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vqcodec import forks
from vqcodec.config import ModelConfig
from vqcodec.errors import ModelError
from vqcodec.geometry import Box, spans
from vqcodec.planes import Planes
from vqcodec.runtime.networks import LatentsOf, Part
from vqcodec.runtime.pixels import base_features, enlarged_part, picture_of
from vqcodec.runtime.threads import network_threads

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WIDEST = 96
"""Largest edge of a window in positions, without the halo."""

# Sessions of a parent of this process. Their threads are gone, and waiting for these would never end.
_lost: list[object] = []


class OnnxNetworks:
    """Runs encoder and generators of a `VQGAN`. Sessions are made when they are needed.

    Args:
        graphs: files of the graphs by name, `encoder` and `generator`.
        config: configuration of the model.
    """

    def __init__(self, graphs: dict[str, Path], config: ModelConfig) -> None:
        self._graphs = graphs
        self._config = config
        # By name of the graph and number of threads.
        self._sessions: dict[tuple[str, int], InferenceSession] = {}
        self._born = forks.generation()
        self._making = forks.surviving_lock()

    def analyse(self, pixels: np.ndarray, planes: Planes) -> Iterator[tuple[int, Part]]:
        """See `Networks.analyse`."""
        step = self._config.downsampling
        features = _features(planes)
        for inside, box in self._windows(planes.grid):
            part = pixels[box.scaled(step).slices]
            below, right = step * box.height - part.shape[0], step * box.width - part.shape[1]
            if below or right:
                part = np.pad(part, ((0, below), (0, right), (0, 0)), "edge")
            picture = np.empty((1, 3, *part.shape[:2]), np.float32)
            picture[0] = part.transpose(2, 0, 1)
            picture /= 127.5
            picture -= 1
            found = self._run("encoder", picture=picture, base=box.of(features), rate=_point(planes))
            for grid, latents in zip(self._config.dims, found, strict=True):
                times = step // grid
                cut = inside.relative_to(box).scaled(times).of(latents[0])
                yield grid, (times * inside.top, times * inside.left, cut.transpose(1, 2, 0))

    def synthesise(
        self, latents: LatentsOf, planes: Planes, realism: float = 0.0, still: np.ndarray | None = None
    ) -> Iterator[Part]:
        """See `Networks.synthesise`."""
        step = self._config.downsampling
        features = _features(planes)
        for inside, box in self._windows(planes.grid):
            given = {
                f"latents{grid}": latents(grid, box.scaled(step // grid)).transpose(2, 0, 1)[None]
                for grid in self._config.dims
            }
            weight = np.array([realism], np.float32)
            (found,) = self._run(
                "generator", **given, base=box.of(features), rate=_point(planes), realism=weight
            )
            picture = inside.relative_to(box).scaled(step).of(found[0]).transpose(1, 2, 0) * 127.5
            if still is not None and inside.of(still).any():
                assert planes.base is not None  # models of this family have a base
                assert planes.steps is not None
                plain = enlarged_part(picture_of(planes.base, planes.steps) - 127.5, inside, step)
                moving = enlarged_part((~still).astype(np.float32)[..., None], inside, step).clip(0, 1)
                picture = plain + moving * (picture - plain)
            yield step * inside.top, step * inside.left, picture

    def _windows(self, grid: tuple[int, int]) -> Iterator[tuple[Box, Box]]:
        """Yield windows that cover a grid, and the same with what the networks look at."""
        rows, columns = grid
        whole = Box(0, 0, columns, rows)
        for top, bottom in spans(rows, WIDEST):
            for left, right in spans(columns, WIDEST):
                inside = Box(left, top, right, bottom)
                yield inside, inside.grown(self._config.halo).clipped(whole)

    def _run(self, name: str, **inputs: np.ndarray) -> list[np.ndarray]:
        session = self._session(name)
        contiguous = {key: np.ascontiguousarray(value) for key, value in inputs.items()}
        with forks.operation:
            return session.run(None, contiguous)

    def _session(self, name: str) -> InferenceSession:
        with self._making:
            if self._born != forks.generation():
                _lost.append(self._sessions)
                self._sessions, self._born = {}, forks.generation()
            key = name, network_threads()
            if key not in self._sessions:
                self._sessions[key] = _opened(self._graphs[name], key[1])
            return self._sessions[key]


def _opened(path: Path, threads: int) -> InferenceSession:
    """Open a session.

    Raises:
        ModelError: the graph cannot be read.
    """
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Errors are raised in any case; without this, they are printed as well.
    options.log_severity_level = 4
    # Windows differ in size, so plans of the memory of one do not serve the next.
    options.enable_mem_pattern = False
    if _arena_is_shared():
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        raise ModelError(f"{path}: cannot read the graph: {error}") from error


@cache
def _arena_is_shared() -> bool:
    """Whether sessions share memory that grows as much as is needed, where by default it doubles."""
    import onnxruntime as ort

    # Of the sizes, -1 stands for the default, and 1 for growing as requested.
    how = {
        "max_mem": 0,
        "arena_extend_strategy": 1,
        "initial_chunk_size_bytes": -1,
        "max_dead_bytes_per_chunk": -1,
    }
    kind = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    try:
        ort.create_and_register_allocator(kind, ort.OrtArenaCfg(how))
    except Exception:
        # The program around this has registered its own, or this version takes other arguments.
        return False
    return True


def _features(planes: Planes) -> np.ndarray:
    """What the networks are told of the base, (1, 4, h, w)."""
    assert planes.base is not None  # models of this family have a base
    assert planes.steps is not None
    return base_features(planes.base, planes.steps)[None]


def _point(planes: Planes) -> np.ndarray:
    return np.array([planes.point], np.float32)
