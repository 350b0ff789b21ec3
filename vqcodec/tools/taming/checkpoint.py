"""Tensors of a training checkpoint, read without running anything that is in it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vqcodec.errors import ModelError


class _Inert:
    """Stands for every object of a checkpoint that is not a tensor or a plain value, and does nothing.

    Checkpoints of training frameworks hold callbacks, schedulers and settings beside the weights. PyTorch's
    restricted reader would refuse the whole file for them; with this in their place it need not.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dictionary of a checkpoint: what is under `state_dict`, or the whole file if it is one itself.

    Raises:
        ModelError: the file cannot be read, or only by running code from it, or PyTorch is too old.
    """
    try:
        from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals
    except ImportError as error:
        # Besides, checkpoints can make older ones run code in spite of `weights_only` (CVE-2025-32434).
        raise ModelError(
            f"{path}: to read checkpoints safely takes PyTorch 2.6, and this is {torch.__version__}"
        ) from error
    try:
        foreign = get_unsafe_globals_in_checkpoint(path)
        with safe_globals([(_Inert, name) for name in foreign]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: cannot read the checkpoint: {reason}") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ModelError(f"{path}: not a checkpoint with a state dictionary")
    return {key: value for key, value in content.items() if isinstance(value, Tensor)}
