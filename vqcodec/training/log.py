"""What a run writes down: means over some steps, the use of the codebooks, and alarms."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqcodec.config import Band
from vqcodec.training.codebook import counted

# Files of a run folder.
METRICS = "metrics.csv"
VALIDATION = "validation.csv"
USAGE_ALARM = 0.5
# The discriminator's hinge loss is 2 where it tells nothing apart, and 0 where nothing can fool it any more.
DISCRIMINATOR_ALARM = (0.02, 1.98)


class TrainingLog:
    """Collects what single steps say until it is written.

    Args:
        bands: of the model.
        device: of the counts.

    Attributes:
        window: losses by name, one entry per step since the last row.
        assignments: how often each codeword was chosen since then, (stages, codebook_size) float32 of each band.
    """

    def __init__(self, bands: Sequence[Band], device: torch.device) -> None:
        self.window: list[dict[str, float]] = []
        self.assignments = [torch.zeros(band.stages, band.codebook_size, device=device) for band in bands]

    def count(self, indices: Sequence[Tensor]) -> None:
        """Count the codewords that were chosen, (n, s) int64 of each band."""
        for assignments, chosen in zip(self.assignments, indices, strict=False):
            for stage, index in enumerate(chosen.unbind(1)):
                assignments[stage] += counted(index, assignments.shape[1])

    def add(self, losses: Mapping[str, Tensor], **values: float) -> None:
        """Take in a step."""
        # All in one transfer, which a GPU waits for.
        numbers = torch.stack([value.detach().float() for value in losses.values()]).tolist()
        self.window.append(dict(zip(losses, numbers, strict=True)) | values)

    def row(self) -> dict[str, str]:
        """Means since the last row, which starts anew; by stage, codewords used and positions that go on."""
        names = dict.fromkeys(name for entry in self.window for name in entry)
        row = {
            name: f"{np.mean([entry[name] for entry in self.window if name in entry]):.5g}" for name in names
        }
        for band, assignments in enumerate(self.assignments):
            usage, _ = _usage(assignments)
            row |= {f"usage{band}.{stage}": f"{share:.3f}" for stage, share in enumerate(usage.tolist())}
            going = 1 - assignments[:, 0] / assignments.sum(1).clamp_min(1)
            row |= {f"going{band}.{stage}": f"{share:.3f}" for stage, share in enumerate(going.tolist())}
            assignments.zero_()
        self.window.clear()
        return row

    def alarms(self, adversarial: bool) -> list[str]:
        """What is wrong since the last row: a codebook that collapses, a discriminator that stands still."""
        found = []
        for band, assignments in enumerate(self.assignments):
            usage, chosen = _usage(assignments)
            # A window of few crops cannot touch all codewords: judge against what it could touch.
            reach = 1 - torch.exp(-chosen / assignments.shape[1])
            for stage in (usage < USAGE_ALARM * reach).nonzero().flatten().tolist():
                found.append(f"stage {stage} of band {band} uses {usage[stage]:.0%} of its codewords")
        losses = [entry["discriminator"] for entry in self.window if "discriminator" in entry]
        if adversarial and losses:
            loss = float(np.mean(losses))
            if not DISCRIMINATOR_ALARM[0] < loss < DISCRIMINATOR_ALARM[1]:
                found.append(f"the discriminator stands still at a loss of {loss:.3f}")
        return found


def _usage(assignments: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the codewords used, without codeword 0, and how many choices that were, each (stages,)."""
    others = assignments[:, 1:]
    return (others > 0).float().mean(1), others.sum(1)


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Append to a CSV file. If its columns differ, write it anew with the columns of both."""
    columns, rows = [], []
    if path.exists():
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            rows = [] if set(row) <= set(columns) else list(reader)
    known = bool(columns) and set(row) <= set(columns)
    columns = columns if known else list(dict.fromkeys([*row, *columns]))
    with path.open("a" if known else "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if not known:
            writer.writeheader()
            writer.writerows(rows)
        writer.writerow(row)


def drop_rows_after(run: Path, step: int) -> None:
    """Remove what a run logged after its last checkpoint; resuming logs it again."""
    for path in (run / METRICS, run / VALIDATION):
        if not path.exists():
            continue
        header, *rows = path.read_text().splitlines(keepends=True)
        path.write_text(header + "".join(row for row in rows if int(row.split(",", 1)[0]) <= step))
