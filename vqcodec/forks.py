"""Survive `os.fork`: in the child, torch computes with one thread, and no lock is held.

A fork takes along one thread only. GNU OpenMP still counts on the threads of its pool, and waits for them for
ever at the next loop that it shares out. With one thread, torch shares out nothing.

Nor does a fork release the locks of threads that it leaves behind. Ours are made anew. Those of oneDNN and OpenBLAS
cannot be, so a fork waits until no thread of ours is inside one of their operations.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING
from weakref import WeakSet

from vqcodec.errors import RequestError

if TYPE_CHECKING:
    import torch

ADVICE = "start processes with 'spawn' or 'forkserver', or load the codec in the child alone"

# Seconds that a fork waits for the operations of other threads. They take a fraction of one.
_PATIENCE = 5.0

_locks: WeakSet = WeakSet()
_forks = 0
# Whether the pool of threads belongs to a parent of this process.
_pool_is_lost = False


def surviving_lock() -> threading.Lock:
    """Return a new lock, which is free in the child of a fork even if a thread of the parent holds it."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def generation() -> int:
    """Return how many forks lie between this process and the one that imported this module."""
    return _forks


def most_threads(wanted: int) -> int:
    """Return the number of torch threads to use, given the wanted one: 1 in the child of a fork."""
    return 1 if _pool_is_lost else wanted


def settle(device: torch.device | None = None, born: int | None = None) -> None:
    """Make sure that torch can compute in this process. Call this before work that torch shares out.

    Args:
        device: device that computes.
        born: `generation()` of the process that moved the model there; by default this one.

    Raises:
        RequestError: the device stayed behind in a parent of this process.
    """
    if device is not None and device.type != "cpu" and born not in (None, _forks):
        raise RequestError(f"a codec on {device} does not survive os.fork: {ADVICE}")
    if _pool_is_lost:
        _use_one_thread()


class _Operations:
    """Context of an operation that shares out work, such as a convolution or a product. A fork waits for its end."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._forking = False

    def __enter__(self) -> None:
        with self._changed:
            while self._forking:
                self._changed.wait()
            self._running += 1

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._running -= 1
            if self._forking:
                self._changed.notify_all()

    def before_fork(self) -> None:
        self._changed.acquire()
        end = time.monotonic() + _PATIENCE
        self._forking = True
        while self._running and (left := end - time.monotonic()) > 0:
            self._changed.wait(left)
            self._forking = True  # another thread may have forked in the meantime

    def after_fork_in_parent(self) -> None:
        self._forking = False
        self._changed.notify_all()
        self._changed.release()

    def after_fork_in_child(self) -> None:
        self._reset()


operation = _Operations()


def _use_one_thread() -> None:
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def _after_fork() -> None:
    global _forks, _pool_is_lost
    _forks += 1
    operation.after_fork_in_child()
    for lock in list(_locks):
        lock._at_fork_reinit()
    # Without torch, there is no pool yet, and the child starts its own.
    if hasattr(sys.modules.get("torch"), "set_num_threads"):
        _pool_is_lost = True
        _use_one_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=operation.before_fork,
        after_in_parent=operation.after_fork_in_parent,
        after_in_child=_after_fork,
    )
