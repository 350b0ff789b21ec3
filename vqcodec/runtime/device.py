"""Capabilities of this machine: CPU features, torch devices, and the fastest dtype."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from vqcodec import forks
from vqcodec.errors import RequestError

Network = TypeVar("Network", bound=nn.Module)


def capabilities() -> dict[str, bool]:
    """Return, by name of instruction set, whether the CPU supports it.

    The result is empty with versions of torch that do not tell.
    """
    return getattr(torch.cpu, "get_capabilities", dict)()


def native_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 in hardware, at twice the speed of float32."""
    known = capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def usable_device(name: str | torch.device) -> torch.device:
    """Return the torch device of a name.

    Raises:
        RequestError: torch does not have this device here.
    """
    forks.settle()
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # Torch without CUDA raises an AssertionError.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # What torch says of a device that a parent of this process uses.
        advice = f" after os.fork: {forks.ADVICE}" if "forked" in str(error) else ""
        raise RequestError(f"torch cannot use the device {str(name)!r} here{advice}") from error
    return device


def channels_last(network: Network, device: torch.device | None = None) -> Network:
    """Move a network to a device, its weights with channels last in memory, where convolutions are fastest."""
    # torch declares no such overload.
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return the fastest dtype of a device.

    It is bfloat16 where the CPU multiplies it natively, in little more than half the time of float32.
    Elsewhere it is float32.
    """
    if device.type != "cpu":
        return torch.float32
    return torch.bfloat16 if native_bfloat16() else torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 autocast, on a CPU only where it multiplies that natively, otherwise float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu" or native_bfloat16())
