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

_PACKAGES: tuple[str, ...] = (
    "torch",
    "numpy",
    "pillow",
    "constriction",
    "pillow-jxl-plugin",
    "pytorch-msssim",
)
_PACKAGES += ("ssimulacra2", "stlpips-pytorch", "compressai")


def describe_environment() -> dict[str, str]:
    """Describe machine, versions, command and time, as text by name."""
    versions = {"vqcodec": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    # `python -m module` is kept as it was typed. Of an installed script, only its name is.
    typed = sys.orig_argv if sys.orig_argv[1:2] == ["-m"] else sys.argv
    # Keep only the names of folders and files: their location says nothing to a reader elsewhere.
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
    """Write the result of `describe_environment` as a JSON file.

    Args:
        path: file to write.
        more: additional entries.
    """
    path.write_text(json.dumps({**(more or {}), **describe_environment()}, indent=2) + "\n", encoding="utf-8")


def _cpu_name() -> str:
    """Return the name of the processor, with family and model: virtual ones often omit the generation."""
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
