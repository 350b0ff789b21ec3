"""One of several training processes, started by `test_distributed.py`.

Usage: torchrun tests/training/worker.py RUN STEPS
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from tests.training.test_trainer import DATA, RECIPE
from vqcodec.image.find import pictures_below
from vqcodec.model.quantizer import BandQuantizer
from vqcodec.training import distributed
from vqcodec.training.codebook import CodebookLearner
from vqcodec.training.data import CropSampler
from vqcodec.training.trainer import Trainer


def same_everywhere(state: dict[str, torch.Tensor]) -> None:
    for name, value in state.items():
        other = value.clone()
        dist.broadcast(other, 0)
        assert torch.equal(value, other), name


def check_codebook_learning() -> None:
    """Every process learns from its own half of the latents what one would learn from all of them."""
    torch.manual_seed(0)
    alone = CodebookLearner(BandQuantizer(3, 16, 8))
    together = CodebookLearner(copy.deepcopy(alone.quantizer))
    latents, rate, free = torch.randn(256, 8), torch.linspace(0, 0.99, 256), torch.zeros(256)
    half, part = latents.chunk(2)[distributed.rank()], rate.chunk(2)[distributed.rank()]
    together.update(together.quantizer.quantize(half, free[:128], part), part, torch.Generator())
    with one_process():
        alone.update(alone.quantizer.quantize(latents, free, rate), rate, torch.Generator())
    assert together.restarts == alone.restarts == 0
    for name in ("counts", "sums", "end_counts"):
        torch.testing.assert_close(getattr(together, name), getattr(alone, name))
    torch.testing.assert_close(together.quantizer.codebooks, alone.quantizer.codebooks)


class one_process:  # noqa: N801 - reads like a statement
    """Inside, this process believes to be the only one."""

    def __enter__(self) -> None:
        self.size, distributed.size = distributed.size, lambda: 1

    def __exit__(self, *_: object) -> None:
        distributed.size = self.size


def main(run: Path, steps: int) -> None:
    trainer = Trainer(RECIPE, CropSampler(pictures_below(DATA)), None, run)
    assert distributed.size() == 2
    check_codebook_learning()
    for _ in range(steps):
        before = trainer.step
        trainer.train_step()
        assert trainer.step == before + 1
        for module in (part for part in vars(trainer).values() if isinstance(part, nn.Module)):
            same_everywhere(module.state_dict())
        for learner in trainer.learners:
            same_everywhere({"counts": learner.counts, "sums": learner.sums})
        same_everywhere({"usual": trainer.viewer.rates.usual})
    # Each process drew crops of its own.
    losses = torch.tensor([entry["total"] for entry in trainer.log.window])
    other = losses.clone()
    dist.broadcast(other, 0)
    assert distributed.rank() == 0 or not torch.equal(losses, other)
    trainer.run()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
