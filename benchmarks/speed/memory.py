"""Peak memory of a function, in a process of its own; Linux only."""

import ctypes
import gc
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.stages import Stage


def peak_memory(stage: Stage) -> float | None:
    """Memory in MB that a stage needs beyond what its process holds once it is prepared; None off Linux."""
    if sys.platform != "linux":
        return None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_rise, (stage.prepare,))


def _rise(prepare: Callable[[], Callable[[], Any]]) -> float:
    function = prepare()
    function()  # tables and kernels that are made once are not part of a call
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # begins a new peak
    before = _status("VmRSS")
    function()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")
