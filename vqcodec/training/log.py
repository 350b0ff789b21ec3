"""What a run writes down: means over some steps, the use of the codebooks, and alarms."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

USAGE_ALARM = 0.5
# The discriminator's hinge loss is 2 where it tells nothing apart, and 0 where nothing can fool it any more.
DISCRIMINATOR_ALARM = (0.02, 1.98)


class TrainingLog:
    """Collects what single steps say until it is written.

    Args:
        stages: of the quantizer.
        codebook_size: codewords per stage.
        device: of the counts.

    Attributes:
        window: losses by name, one entry per step since the last row.
        assignments: (stages, codebook_size) float32, how often each codeword was chosen since then.
    """

    def __init__(self, stages: int, codebook_size: int, device: torch.device) -> None:
        self.window: list[dict[str, float]] = []
        self.assignments = torch.zeros(stages, codebook_size, device=device)

    def count(self, indices: Tensor) -> None:
        """Count the codewords (n, s) int64 that were chosen."""
        for stage, index in enumerate(indices.unbind(1)):
            self.assignments[stage] += torch.bincount(index, minlength=self.assignments.shape[1])

    def add(self, losses: Mapping[str, Tensor], **values: float) -> None:
        """Take in a step."""
        self.window.append({name: value.item() for name, value in losses.items()} | values)

    def row(self) -> dict[str, str]:
        """Means since the last row, and shares and perplexities of the codewords used; starts anew."""
        names = dict.fromkeys(name for entry in self.window for name in entry)
        row = {
            name: f"{np.mean([entry[name] for entry in self.window if name in entry]):.5g}" for name in names
        }
        usage, perplexity = self._usage()
        row |= {f"usage{stage}": f"{share:.3f}" for stage, share in enumerate(usage.tolist())}
        row |= {f"perplexity{stage}": f"{value:.0f}" for stage, value in enumerate(perplexity.tolist())}
        self.window.clear()
        self.assignments.zero_()
        return row

    def alarms(self, adversarial: bool) -> list[str]:
        """What is wrong since the last row: a codebook that collapses, a discriminator that stands still."""
        found = []
        usage, _ = self._usage()
        # A window of few crops cannot touch all codewords: judge against what it could touch.
        reach = 1 - math.exp(-float(self.assignments[0].sum()) / self.assignments.shape[1])
        if float(usage.min()) < USAGE_ALARM * reach:
            worst = int(usage.argmin())
            found.append(f"stage {worst} uses {usage[worst]:.0%} of its codewords")
        losses = [entry["discriminator"] for entry in self.window if "discriminator" in entry]
        if adversarial and losses:
            loss = float(np.mean(losses))
            if not DISCRIMINATOR_ALARM[0] < loss < DISCRIMINATOR_ALARM[1]:
                found.append(f"the discriminator stands still at a loss of {loss:.3f}")
        return found

    def _usage(self) -> tuple[Tensor, Tensor]:
        share = self.assignments / self.assignments.sum(1, keepdim=True).clamp_min(1)
        usage = (self.assignments > 0).float().mean(1)
        return usage, torch.exp(-(share * share.clamp_min(1e-12).log()).sum(1))


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


def drop_rows_after(path: Path, step: int) -> None:
    """Remove what a run logged after its last checkpoint; resuming logs it again."""
    if not path.exists():
        return
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text(header + "".join(row for row in rows if int(row.split(",", 1)[0]) <= step))
