"""Integer arithmetic of the context model: frequencies by a table of exp, and products of bytes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from vqcodec.entropy.weights import ACTIVATION_MAX
from vqcodec.forks import operation, settle

FREQUENCY_SUM = 1 << 16
# exp(-d / UNIT), d = 0, 1, ..., is in units of 2**-14.
_EXP_ONE = 1 << 14
# Instruction sets that multiply bytes.
_OF_BYTES = ("avx512_vnni", "avx_vnni", "amx_int8")
# Products of fewer rows are faster in float32.
_LEAST_ROWS = 16


def exp_table() -> np.ndarray:
    """Return a table of exp(-d / 16), d = 0..255, in units of 2**-14: (256,) int32.

    It is computed with integers only. A float exp may differ in the last bit between machines; exp(-1/16)
    with 62 fractional bits does not.
    """
    factor, scale, value, table = 4332278087304955804, 1 << 62, 1 << 62, []
    for _ in range(256):
        table.append((value * _EXP_ONE + scale // 2) // scale)
        value = value * factor // scale
    return np.array(table, np.int32)


_EXP = exp_table()


def frequencies(logits: np.ndarray) -> np.ndarray:
    """Turn logits (n, A) int32 into frequencies (n, A) int32 of at least 1 that sum to 2**16."""
    largest = logits.argmax(1)[:, None]
    distance = np.take_along_axis(logits, largest, 1) - logits
    mass = _EXP.take(distance, mode="clip")
    # mass <= 2**14 and reciprocal <= 2**16, so the product fits into 31 bits.
    total = mass.sum(1, keepdims=True, dtype=np.int32)
    mass *= (FREQUENCY_SUM - logits.shape[1]) * _EXP_ONE // total
    mass >>= 14
    mass += 1
    # What is left over goes to the first of the largest.
    left = FREQUENCY_SUM - mass.sum(1, dtype=np.int32)
    mass[np.arange(len(mass)), largest[:, 0]] += left
    return mass


class Factor:
    """The transpose of a matrix (N, C) of 8-bit integers, for exact products.

    They run in float32, in which sums below 2**24 are exact in any order, on any number of threads and on any
    machine; or, where torch is loaded and the processor has instructions for them, as bytes. Both factors have at
    most 7 bits and a sign, so they would be exact in bfloat16 and TF32 too.

    Args:
        matrix: (N, C) integers.
        of_bytes: whether to multiply bytes; by default if that is fast and exact here.
    """

    def __init__(self, matrix: np.ndarray, of_bytes: bool | None = None) -> None:
        self.width = matrix.shape[0]
        self._floats = np.ascontiguousarray(matrix.T, np.float32)
        self._bytes = None
        if bytes_are_exact() if of_bytes is None else of_bytes:
            import torch

            self._bytes = torch.from_numpy(np.ascontiguousarray(matrix.T, np.int8))

    def of(self, inputs: np.ndarray) -> np.ndarray:
        """Multiply inputs (n, C) int8 with it: (n, N) int32."""
        if self._bytes is not None and len(inputs) > _LEAST_ROWS:
            import torch

            settle()
            with operation, torch.inference_mode():
                return torch._int_mm(torch.from_numpy(inputs), self._bytes).numpy()
        with operation:
            return (inputs.astype(np.float32) @ self._floats).astype(np.int32)


_exact: bool | None = None


def bytes_are_exact() -> bool:
    """Return whether products of 8-bit integers are fast and exact on this machine, with the torch that is loaded.

    On CPUs without instructions for them, oneDNN adds pairs of products in 16 bits, which is too few.
    """
    global _exact
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "_int_mm"):
        return False
    if _exact is None:
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        _exact = any(known.get(name) for name in _OF_BYTES) and _is_exact()
    return _exact


def _is_exact() -> bool:
    import torch

    largest = np.full((64, 128), ACTIVATION_MAX, np.int8)
    signs = np.tile(np.array([[1], [-1]], np.int8), (32, 1))
    expected = (signs * largest).astype(np.float32) @ largest.T.astype(np.float32)
    factors = torch.from_numpy(signs * largest), torch.from_numpy(np.ascontiguousarray(largest.T))
    return bool((torch._int_mm(*factors).numpy() == expected).all())
