"""Integer arithmetic of the context model: frequencies by a table of exp, and products of bytes."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.entropy.weights import ACTIVATION_MAX
from vqcodec.runtime.device import capabilities

FREQUENCY_SUM = 1 << 16
# exp(-d / UNIT), d = 0, 1, ..., is in units of 2**-14.
_EXP_ONE = 1 << 14


def exp_table() -> Tensor:
    """Return a table of exp(-d / 16), d = 0..255, in units of 2**-14: (256,) int32.

    It is computed with integers only. A float exp may differ in the last bit between machines; exp(-1/16)
    with 62 fractional bits does not.
    """
    factor, scale, value, table = 4332278087304955804, 1 << 62, 1 << 62, []
    for _ in range(256):
        table.append((value * _EXP_ONE + scale // 2) // scale)
        value = value * factor // scale
    return torch.tensor(table, dtype=torch.int32)


_EXP = exp_table()


def frequencies(logits: Tensor) -> Tensor:
    """Turn logits (n, A) int32 into frequencies (n, A) int32 of at least 1 that sum to 2**16."""
    distance = (logits.amax(1, keepdim=True) - logits).clamp_(max=len(_EXP) - 1)
    mass = _EXP.index_select(0, distance.flatten()).view_as(distance)
    # mass <= 2**14 and reciprocal <= 2**16, so the product fits into 31 bits.
    total = mass.sum(1, keepdim=True, dtype=torch.int32)
    reciprocal = (FREQUENCY_SUM - logits.shape[1]) * _EXP_ONE // total
    result = mass.mul_(reciprocal).bitwise_right_shift_(14).add_(1)
    left = FREQUENCY_SUM - result.sum(1, keepdim=True, dtype=torch.int32)
    # What is left over goes to the first of the largest; numpy finds the first of some booleans fast.
    place = torch.from_numpy((distance == 0).numpy().argmax(1))[:, None]
    return result.scatter_add_(1, place, left)


def bytes_are_exact() -> bool:
    """Return whether products of 8-bit integers are fast and exact on this machine.

    On CPUs without instructions for them, oneDNN adds pairs of products in 16 bits, which is too few.
    """
    known = capabilities()
    if not any(known.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8")):
        return False
    if not hasattr(torch, "_int_mm"):
        return False
    largest = torch.full((64, 128), ACTIVATION_MAX, dtype=torch.int8)
    signs = torch.tensor([[1], [-1]]).repeat(32, 1).to(torch.int8)
    expected = (signs * largest).float() @ largest.float().T
    return torch.equal(torch._int_mm(signs * largest, largest.T.contiguous()).float(), expected)
