"""The files of a training run: written in one move, and refused by name if they are damaged."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

CHECKPOINT = "checkpoint.pt"
"""Everything that the next step depends on."""

FIDELITY = "fidelity.pt"
"""The averaged weights for realism 0: from before the first adversarial phase, or from a phase aside."""


def read(path: Path, device: torch.device | str = "cpu") -> Any:
    """Read what `write` wrote.

    Args:
        path: of the file.
        device: where tensors go.

    Raises:
        ValueError: the file is damaged, or is something else; the message names it.
        OSError: it cannot be read.
    """
    try:
        return torch.load(path, device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: damaged, or not of a training run") from error


def write(state: Any, path: Path) -> None:
    """Write tensors and plain values in one move: a stop at any moment leaves the old file or the new one."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)
