"""Compares architectures, optimisers, losses and crops at equal training time: `python -m benchmarks.studies.choices`.

    python -m benchmarks.studies.choices --data PHOTOGRAPHS --val PHOTOGRAPHS --seconds 240

Every variant differs from the first in one thing, and trains for the same wall-clock time on the same machine: a fifth
of it without quantization, the rest with; the learning rate is constant, and falls to zero in the last third. Nothing
else should run meanwhile. Writes `results/choices.csv`, one line per variant; SOAP is that of the package
`pytorch-optimizer`.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from vqcodec.evaluation.environment import write_environment
from vqcodec.image.find import pictures_below
from vqcodec.model import ModelConfig, vqgan
from vqcodec.model.blocks import ResidualBlock, icnr_
from vqcodec.model.generator import Generator
from vqcodec.training.config import Phase, TrainConfig
from vqcodec.training.data import CropSampler
from vqcodec.training.trainer import Trainer
from vqcodec.training.validation import Validator

RESULTS = Path(__file__).parents[1] / "results"
COLUMNS = ("perceptual2", "perceptual8", "psnr2", "psnr8", "msssim8")


class ModulatedGenerator(nn.Module):
    """All blocks at 1/16; their features scale and shift the layers of a pointwise network at 1/4.

    With 8 blocks and 6 layers it costs the 11.9 kMAC per pixel of the progressive generator.
    """

    def __init__(self, config: ModelConfig, blocks: int = 8, layers: int = 6) -> None:
        super().__init__()
        width, fine = config.generator_widths[0], config.generator_widths[-1]
        self.stem = nn.Conv2d(config.latent_dim, width, 1)
        self.body = nn.ModuleList(ResidualBlock(width, config.stages) for _ in range(blocks))
        self.enter = nn.Conv2d(width, 16 * fine, 1)
        icnr_(self.enter, 4)
        self.modulation = nn.Conv2d(width, 2 * fine * layers, 1)
        self.points = nn.ModuleList(nn.Conv2d(fine, fine, 1) for _ in range(layers))
        self.head = nn.Conv2d(fine, 3 * 16, 3, padding=1)
        icnr_(self.head, 4)

    def forward(self, latents: Tensor, stages: Tensor) -> Tensor:
        """Render latents (N, D, h, w), as `Generator` does."""
        x = self.stem(latents)
        for block in self.body:
            x = block(x, stages - 1)
        y = F.pixel_shuffle(self.enter(x), 4)
        parts = self.modulation(x).chunk(2 * len(self.points), 1)
        for layer, scale, shift in zip(self.points, parts[::2], parts[1::2], strict=True):
            scale, shift = (F.interpolate(part, scale_factor=4, mode="nearest") for part in (scale, shift))
            y = y + layer(F.relu(y * (1 + scale) + shift))
        return F.pixel_shuffle(self.head(y), 4)


def adamw(parameters: Iterable[Tensor]) -> Optimizer:
    """AdamW, in place of Muon."""
    return torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0, foreach=True)


def soap(parameters: Iterable[Tensor]) -> Optimizer:
    """SOAP (Vyas et al., 2024), in place of Muon."""
    from pytorch_optimizer import SOAP

    return SOAP(parameters, lr=1e-3, betas=(0.95, 0.95), weight_decay=0.0, precondition_frequency=10)


@dataclass(frozen=True)
class Variant:
    """What is trained: fields of the phases, and what replaces the generator and the optimiser of kernels.

    Attributes:
        crops: edge and number of the crops, from shares of the time on.
    """

    name: str
    phase: dict[str, float] = field(default_factory=dict)
    crops: tuple[tuple[float, int, int], ...] = ((0.0, 64, 32),)
    generator: type[nn.Module] = Generator
    optimiser: Callable[[Iterable[Tensor]], Optimizer] | None = None


VARIANTS = (
    Variant("bottleneck blocks at 1/16, 1/8, 1/4; Muon 1e-3; L1 weight 1; 32 crops of 64"),
    Variant("generator: blocks at 1/16 modulate points at 1/4", generator=ModulatedGenerator),
    Variant("optimiser: AdamW 1e-3", optimiser=adamw),
    Variant("optimiser: SOAP 1e-3", optimiser=soap),
    Variant("optimiser: SOAP 3e-3", {"lr": 3e-3}, optimiser=soap),
    Variant("L1 weight 0.5", {"losses": {"l1": 0.5, "perceptual": 1.0}}),
    Variant("L1 weight 3", {"losses": {"l1": 3.0, "perceptual": 1.0}}),
    Variant("crops: 16 of 128", crops=((0.0, 128, 16),)),
    Variant("crops: 32 of 64, for the second half 16 of 128", crops=((0.0, 64, 32), (0.5, 128, 16))),
)


class TimedTrainer(Trainer):
    """Trains a variant for so many seconds."""

    def __init__(self, variant: Variant, seconds: float, crops: CropSampler, out: Path) -> None:
        self.variant = variant
        self.limit = seconds
        vqgan.Generator = variant.generator
        phase = Phase("", 10**9, warmup=100, **variant.phase)
        super().__init__(TrainConfig(ModelConfig(), (phase,)), crops, None, out)
        vqgan.Generator = Generator
        if variant.optimiser:
            matrices = [param for param in self.parameters if param.ndim == 4]
            self.optimisers[0] = variant.optimiser(matrices)
        self.phase = phase

    def train(self) -> None:
        """Train until the time is over."""
        start = time.monotonic()
        while (share := (time.monotonic() - start) / self.limit) < 1:
            _, edge, count = [crops for crops in self.variant.crops if crops[0] <= share][-1]
            # The learning rate of all steps to come; the warm-up stays with the trainer.
            rate = self.phase.lr * min(1.0, 3 * (1 - share))
            phase = replace(self.phase, crop=edge, batch=count, quantize=share > 0.2, lr=rate, final_lr=rate)
            self.config = replace(self.config, phases=(phase,))
            self.train_step()


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), multiple=True, required=True)
@click.option("--val", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--seconds", default=240, show_default=True, help="Training time of a variant.")
def main(data: tuple[Path, ...], val: Path, seconds: int) -> None:
    """Train all variants one after the other, and write what validation says of each."""
    crops = CropSampler(pictures_below(*data))
    validator = Validator(pictures_below(val), stages=(2, 8))
    write_environment(RESULTS / "choices.json")
    with (RESULTS / "choices.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["variant", "seconds", "steps", *COLUMNS])
        for variant in VARIANTS:
            with tempfile.TemporaryDirectory() as folder:
                trainer = TimedTrainer(variant, seconds, crops, Path(folder))
                trainer.train()
                row = validator.measure(trainer.average)
            numbers = [row[column] for column in COLUMNS]
            writer.writerow([variant.name, seconds, trainer.step, *numbers])
            file.flush()
            click.echo(
                f"{variant.name}: {trainer.step} steps, " + ", ".join(map("{}={}".format, COLUMNS, numbers))
            )


if __name__ == "__main__":
    main()
