"""Several processes that train one model together, as `torchrun` starts them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def join() -> torch.device:
    """Join the processes that `torchrun` started, if it did, and return the device to train on.

    Every process takes the GPU of its local rank, with nccl; without GPUs they share the CPU, with gloo.
    """
    gpu = torch.cuda.is_available()
    if dist.is_torchelastic_launched() and not dist.is_initialized():
        dist.init_process_group("nccl" if gpu else "gloo")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")


def leave() -> None:
    """Leave together with the others, unless an error ends this process: then they may not come."""
    if dist.is_initialized():
        if sys.exc_info()[0] is None:
            dist.barrier()
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process among those that train together, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_(tensors: Iterable[Tensor]) -> None:
    """Replace float tensors of one device by their sums over all processes, in one exchange."""
    if size() == 1:
        return
    tensors = list(tensors)
    joined = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(joined)
    for tensor, part in zip(tensors, joined.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def mean_(tensors: Iterable[Tensor]) -> None:
    """Replace float tensors of one device by their means over all processes, in one exchange."""
    if size() == 1:
        return
    tensors = list(tensors)
    sum_(tensors)
    torch._foreach_div_(tensors, size())


def broadcast_(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by those of the first process."""
    if size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether a flag is set in any process."""
    found = torch.tensor(float(flag), device=device)
    sum_([found])
    return found.item() > 0
