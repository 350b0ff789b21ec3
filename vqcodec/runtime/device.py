"""What this machine can compute with: processor features, torch devices, and the fastest type on them."""

from __future__ import annotations

import torch

from vqcodec.errors import RequestError


def capabilities() -> dict[str, bool]:
    """Names of instruction sets, and whether the CPU has them; older versions of torch do not say."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def native_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware, at twice the speed of float32."""
    known = capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def usable_device(name: str | torch.device) -> torch.device:
    """The torch device of a name.

    Raises:
        RequestError: torch has no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # Torch without CUDA asserts that it is there.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RequestError(f"torch cannot use the device {str(name)!r} here") from error
    return device


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the CPU multiplies it natively, which takes little more than half the time of float32."""
    if device.type != "cpu":
        return torch.float32
    return torch.bfloat16 if native_bfloat16() else torch.float32
