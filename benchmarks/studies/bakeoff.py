"""Train candidates of the model for equally many steps: `python -m benchmarks.studies.bakeoff OUT PHOTOGRAPHS...`.

Every candidate goes through the same phases, squared error alone, from nothing. The last photographs by name are held
out, and the candidates are measured on them at points of the rate dial. Rates are those of the indices by fixed
frequencies, without base and context model. Writes `results/bakeoff.csv`, machine and versions to
`results/bakeoff.json`; OUT keeps the runs, which continue if they are stopped.
"""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import torch

from vqcodec.config import Band, ModelConfig
from vqcodec.evaluation.environment import write_environment
from vqcodec.image.find import pictures_below
from vqcodec.training.commands import hold_out
from vqcodec.training.config import Phase, TrainConfig
from vqcodec.training.data import CropSampler
from vqcodec.training.trainer import Trainer
from vqcodec.training.validation import Validator

RESULTS = Path(__file__).parents[1] / "results"
CANDIDATES = {
    "1/16 alone": (Band(16, 64, 8, 1024),),
    "1/16, and two bands at 1/8": (Band(16, 64, 4, 1024), Band(8, 16, 5, 256), Band(8, 16, 5, 256)),
    "1/16, and one band at 1/8": (Band(16, 64, 6, 1024), Band(8, 24, 4, 512)),
}
RATES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def recipe(bands: tuple[Band, ...], steps: int) -> TrainConfig:
    """A model of these bands, and the phases that every candidate goes through."""
    losses = {"mse": 200.0}
    free, small = max(1, steps // 30), max(1, steps // 3)
    phases = (
        Phase("autoencoder", free, crop=64, batch=32, warmup=free // 3, quantize=False, losses=losses),
        Phase("small crops", small, crop=64, batch=32, losses=losses, commitment=3.3),
        Phase(
            "distortion",
            steps - free - small,
            crop=128,
            batch=16,
            final_lr=5e-5,
            losses=losses,
            commitment=3.3,
        ),
    )
    return TrainConfig(replace(ModelConfig(), bands=bands), phases)


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.argument(
    "photographs", type=click.Path(exists=True, file_okay=False, path_type=Path), nargs=-1, required=True
)
@click.option("--steps", default=9000, show_default=True, help="Optimiser steps of each candidate.")
def main(out: Path, photographs: Sequence[Path], steps: int) -> None:
    """Train every candidate, measure it, and write the table."""
    learn, held_out = hold_out(pictures_below(*photographs))
    crops, validator = CropSampler(learn), Validator(held_out, rates=RATES)
    rows = []
    for name, bands in CANDIDATES.items():
        folder = out / name.replace("/", "-").replace(",", "").replace(" ", "_")
        trainer = Trainer(recipe(bands, steps), crops, None, folder)
        trainer.run()
        found = validator.measure(trainer.average)
        for rate in RATES:
            values = {
                key.partition("@")[0]: value for key, value in found.items() if key.endswith(f"@{rate:g}")
            }
            rows.append(
                {"candidate": name, "rate": f"{rate:g}", **values, "hours": f"{trainer.seconds / 3600:.2f}"}
            )
    with (RESULTS / "bakeoff.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    said = {"steps": steps, "photographs": len(learn), "validation": len(held_out)}
    write_environment(RESULTS / "bakeoff.json", said | {"threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
