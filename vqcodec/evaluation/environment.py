"""The machine and the software that a measurement was made with."""

import json
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from vqcodec import __version__
from vqcodec.runtime.threads import usable_cores

_PACKAGES = ("torch", "numpy", "pillow", "constriction", "pillow-jxl-plugin", "pytorch-msssim", "ssimulacra2")
_PACKAGES += ("stlpips-pytorch", "compressai")


def describe_environment() -> dict[str, str]:
    """Machine, versions, command and time, as text by name."""
    versions = {"vqcodec": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    # `python -m module` as it was typed, but of an installed script only its name.
    typed = sys.orig_argv if sys.orig_argv[1:2] == ["-m"] else sys.argv
    # Only the names of folders and files: where they lie says nothing to a reader elsewhere.
    command = [Path(part).name if Path(part).is_absolute() else part for part in typed]
    return {
        "cpu": _cpu_name(),
        "cores": str(usable_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "torch instruction set": torch.backends.cpu.get_cpu_capability(),
        "command": shlex.join(command),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def write_environment(path: Path, more: Mapping[str, object] | None = None) -> None:
    """Write what `describe_environment` says as a JSON file, and what else there is to say."""
    path.write_text(json.dumps({**(more or {}), **describe_environment()}, indent=2) + "\n", encoding="utf-8")


def _cpu_name() -> str:
    """Name of the processor, with family and model: names of virtual ones often leave the generation out."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    numbers = [
        f"{word} {facts[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in facts
    ]
    return ", ".join([facts["model name"], *numbers])
