"""Gives freed memory back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Part = TypeVar("Part")


def _find_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        # Not glibc; other allocators give back what is freed by themselves.
        return None


_trim = _find_trim()


def giving_back(parts: Iterable[Part]) -> Iterator[Part]:
    """Pass the parts of a large picture on, and give back what each but the first left free.

    glibc keeps freed blocks of up to 32 MB. Between them the few that stay in use are scattered, so that a process
    grew by 0.5 GB over the windows of one picture. Giving them back costs a tenth of the time of a window.
    """
    for number, part in enumerate(parts):
        yield part
        if number and _trim:
            _trim(0)
