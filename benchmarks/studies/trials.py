"""Short trials of training settings, continuing from a model: `python -m benchmarks.studies.trials`.

    python -m benchmarks.studies.trials --data PHOTOGRAPHS --val PHOTOGRAPHS --seconds 180

All start from the released model and its generator from before the adversarial phase, train for the same wall-clock
time on the same machine, the generator alone unless said otherwise. Nothing else should run meanwhile. Measured at
equal rates, bits counted by the tables of codeword probabilities. Writes `results/trials.csv`.
"""

from __future__ import annotations

import csv
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqcodec.evaluation.environment import write_environment
from vqcodec.evaluation.metrics.kid import PatchFeatures, kernel_distance
from vqcodec.evaluation.metrics.stlpips import STLPIPS
from vqcodec.image.find import pictures_below
from vqcodec.model import VQGAN
from vqcodec.training.config import Phase, TrainConfig
from vqcodec.training.data import CropSampler
from vqcodec.training.perceptual import PerceptualDistance
from vqcodec.training.trainer import Trainer
from vqcodec.training.validation import Validator
from vqcodec.weights import ModelFile, load_model

TABLE = Path(__file__).parents[1] / "results" / "trials.csv"
LMBDAS = (0.13, 0.3, 0.6, 1.2, 2.0)
RATES = (0.05, 0.10, 0.15)
SETTINGS = {
    "crop": 128, "batch": 12, "judged": 1.0, "lr": 3e-4, "warmup": 50,
    "commitment": 0.6, "lmbda": 2.2, "full_stages": 0.85, "discriminator_start": 50, "train_encoder": False,
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What is trained: fields of the phase and weights of losses, beside the settings of all."""

    name: str
    phase: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    trained: bool = True


GAN = {"adversarial": 1.0}
ENCODER = {"adversarial": 2.0, "train_encoder": True}
LOSSES = {"l1": 1.0, "perceptual": 3.0, "coarse": 8.0}
VARIANTS = (
    Variant("at the start", trained=False),
    Variant("adversarial weight 1", GAN),
    Variant("adversarial weight 2", {"adversarial": 2.0}),
    Variant("texture weight 4, nothing adversarial", losses={"texture": 4.0}),
    Variant("texture weight 4, adversarial 1", GAN, {"texture": 4.0}),
    Variant("texture weight 8, perceptual 1.5, adversarial 1", GAN, {"texture": 8.0, "perceptual": 1.5}),
    Variant("texture weight 8, adversarial 2", {"adversarial": 2.0}, {"texture": 8.0}),
    Variant(
        "texture weight 8, adversarial 2, encoder learns",
        {"adversarial": 2.0, "train_encoder": True},
        {"texture": 8.0},
    ),
)


class TimedTrainer(Trainer):
    """Trains a variant for so many seconds; the learning rate falls by a cosine."""

    def __init__(
        self, variant: Variant, seconds: float, crops: CropSampler, out: Path, start: ModelFile
    ) -> None:
        phase = Phase("", 10**9, losses=LOSSES | variant.losses, **(SETTINGS | variant.phase))
        super().__init__(TrainConfig(start.model.config, (phase,)), crops, None, out)
        self.adopt(start)
        self.step = 0
        self.phase, self.limit = phase, seconds

    def train(self) -> None:
        """Train until the time is over."""
        start = time.monotonic()
        while (share := (time.monotonic() - start) / self.limit) < 1:
            rate = self.phase.lr * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * share)))
            self.config = replace(self.config, phases=(replace(self.phase, lr=rate, final_lr=rate),))
            self.train_step()


class Judge:
    """Measures models on the validation squares, at lambdas that span the rates."""

    def __init__(self, pictures: Tensor) -> None:
        self.pictures = pictures
        self.network = STLPIPS("alex").to(memory_format=torch.channels_last)
        self.perceptual = PerceptualDistance().to(memory_format=torch.channels_last)
        self.patches = PatchFeatures()
        self.originals = [self.patches(picture) for picture in _images(pictures)]

    @torch.no_grad()
    def measure(self, model: VQGAN) -> dict[str, float]:
        """Quality at the rates of the table, by name."""
        rows = [self.at(model.eval(), lmbda) for lmbda in LMBDAS]
        rates = np.log([row.pop("bpp") for row in rows])[::-1]
        return {
            f"{name} at {rate:.2f} bpp": float(
                np.interp(math.log(rate), rates, [row[name] for row in rows[::-1]])
            )
            for name in rows[0]
            for rate in RATES
        }

    def at(self, model: VQGAN, lmbda: float) -> dict[str, float]:
        """Rate and quality at one lambda, by name."""
        values: dict[str, list[Tensor]] = {}
        features = []
        for pictures in self.pictures.split(4):
            pictures = pictures.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                latents = model.analyse(pictures)
            n, dim, height, width = latents.shape
            flat = latents.permute(0, 2, 3, 1).reshape(-1, dim).float()
            indices = model.quantizer.choose(flat, lmbda)
            chosen = model.quantizer.dequantize(indices).view(n, height, width, dim).permute(0, 3, 1, 2)
            stages = torch.full((n,), model.config.stages)
            with torch.autocast("cpu", torch.bfloat16):
                decoded = model.synthesise(chosen, stages).float().clamp(-1, 1)
                ours, theirs = (
                    [feature.float() for feature in self.network.features(x)] for x in (decoded, pictures)
                )
            bits = model.quantizer.rate(indices).view(n, -1).sum(1)
            features += [self.patches(picture) for picture in _images(decoded)]
            for name, value in (
                ("bpp", bits / pictures[0, 0].numel()),
                ("perceptual distance", self.perceptual(decoded, pictures)),
                ("ST-LPIPS (AlexNet)", self.network.distance(ours, theirs)),
                ("PSNR", -10 * ((decoded - pictures) / 2).square().mean((1, 2, 3)).log10()),
            ):
                values.setdefault(name, []).append(value)
        means = {name: float(torch.cat(parts).mean()) for name, parts in values.items()}
        return means | {"KID": kernel_distance(self.originals, features).value}


def _images(pictures: Tensor) -> list[Image.Image]:
    pixels = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(picture) for picture in pixels]


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), multiple=True, required=True)
@click.option("--val", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--seconds", default=180, show_default=True, help="Training time of a variant.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([variant.name for variant in VARIANTS]),
    help="Measure this variant and keep the results of the others; repeatable.",
)
def main(data: Sequence[Path], val: Path, seconds: int, only: Sequence[str]) -> None:
    """Train all variants one after the other, and write what the validation photographs say of each."""
    crops = CropSampler(pictures_below(*data))
    judge = Judge(Validator(pictures_below(val)).pictures)
    rows = {}
    if only and TABLE.exists():
        with TABLE.open(newline="", encoding="utf-8") as file:
            rows = {row["variant"]: row for row in csv.DictReader(file)}
    write_environment(TABLE.with_suffix(".json"))
    for variant in VARIANTS:
        if only and variant.name not in only:
            continue
        start = replace(load_model(), realistic=None)
        with tempfile.TemporaryDirectory() as folder:
            trainer = TimedTrainer(variant, seconds, crops, Path(folder), start)
            if variant.trained:
                trainer.train()
            numbers = {name: f"{value:.4f}" for name, value in judge.measure(trainer.average).items()}
        row = {"variant": variant.name, "model": start.model_id.hex()}
        row |= {"seconds": seconds if variant.trained else 0, "steps": trainer.step}
        rows[variant.name] = row | numbers
        click.echo(", ".join(map("{}={}".format, rows[variant.name], rows[variant.name].values())))
        with TABLE.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[variant.name])
            writer.writeheader()
            writer.writerows(rows[other.name] for other in VARIANTS if other.name in rows)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
