"""Compiled networks and losses (`torch.compile`), for runs that ask for them."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
import torch._functorch.config as functorch_config
from torch import nn

_Given = ParamSpec("_Given")
_Returned = TypeVar("_Returned")
_enabled = False


def compiler() -> str:
    """Name of the C++ compiler that torch calls."""
    return os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")


def enable(enabled: bool = True) -> None:
    """Let all functions that are `compilable` run compiled from now on, in the whole process, or no longer.

    Raises:
        ValueError: there is no C++ compiler, which computing on a CPU needs.
    """
    global _enabled
    name = compiler()
    if enabled and not torch.cuda.is_available() and not shutil.which(name):
        raise ValueError(f"--compile needs a C++ compiler, and there is no {name}; CXX can name another")
    _enabled = enabled
    # A generator's gradient is taken twice in adversarial phases, so the first time must not overwrite what it needs.
    # torch does so from 2.6 on.
    if hasattr(functorch_config, "donated_buffer"):
        functorch_config.donated_buffer = False


def compilable(function: Callable[_Given, _Returned]) -> Callable[_Given, _Returned]:
    """A function of tensors that `enable` lets run compiled, once for each combination of their shapes."""

    @functools.cache
    def compiled() -> Callable[_Given, _Returned]:
        return torch.compile(function, dynamic=False)

    @functools.wraps(function)
    def chosen(*args: _Given.args, **kwargs: _Given.kwargs) -> _Returned:
        return (compiled() if _enabled else function)(*args, **kwargs)

    return chosen


def prepare(network: nn.Module) -> None:
    """Let a network run compiled if `enable` says so at this moment. Its weights keep their names."""
    if _enabled:
        network.compile(dynamic=False)
