"""The training recipe: phases with their crops, learning rates and loss weights, read from a JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from vqcodec.model.config import ModelConfig


@dataclass(frozen=True)
class Phase:
    """A stretch of training with constant settings, but for the learning rate.

    Attributes:
        name: shown in the log.
        steps: number of optimiser steps.
        crop: edge of the training crops in pixels, a multiple of 16.
        batch: crops per step, over all processes.
        lr: learning rate at the start of the phase.
        final_lr: learning rate at its end; cosine in between.
        warmup: steps over which the learning rate rises from zero at the start of the phase.
        quantize: whether the latents are quantized; without, encoder and generator learn alone.
        l1: weight of the mean absolute error.
        mse: weight of the mean squared error.
        coarse: weight of the mean absolute errors of the picture reduced 4 and 16 times: colours of plain areas,
            which the perceptual distance hardly sees.
        lattice: weight of the mean absolute error averaged over like pixels of cells of 8 x 8 and 16 x 16
            (`lattice_error`): texture that repeats from cell to cell, which no other loss minds much.
        perceptual: weight of the perceptual distance.
        texture: weight of the distance between local statistics of the same features.
        judged: share of the crops that the perceptual network and the discriminator see. On all of them the former
            costs as much as the codec.
        adversarial: weight of the adversarial loss, 0 for none, as a share of the gradient of all others at the
            decoded picture (VQGAN, equation 7).
        discriminator_lr: learning rate of the discriminator.
        discriminator_start: steps in which the discriminator alone learns, before the generator is told.
        commitment: weight of the commitment loss.
        rate: largest Lagrange multiplier of the rate in codeword selection (squared latent units per bit);
            every crop draws one between a twentieth of this and this.
        full_stages: share of the crops that use all stages; the others draw 1..S evenly (quantizer dropout).
        train_encoder: whether encoder and codebooks learn; without, only the generator does.
    """

    name: str
    steps: int
    crop: int = 64
    batch: int = 24
    lr: float = 1e-3
    final_lr: float = 1e-3
    warmup: int = 0
    quantize: bool = True
    l1: float = 1.0
    mse: float = 0.0
    coarse: float = 0.0
    lattice: float = 0.0
    perceptual: float = 1.0
    texture: float = 0.0
    judged: float = 0.5
    adversarial: float = 0.0
    discriminator_lr: float = 2e-4
    discriminator_start: int = 0
    commitment: float = 0.25
    rate: float = 0.0
    full_stages: float = 0.3
    train_encoder: bool = True


@dataclass(frozen=True)
class TrainConfig:
    """A model and the phases that train it.

    Attributes:
        model: the network.
        phases: run one after the other.
        seed: of initialisation, crops and codebook restarts.
        ema: decay of the averaged weights that are validated and released. At a constant learning rate the weights
            move so fast that an average over 1000 steps is 2 dB worse than the weights themselves.
        validate_every: steps between validations.
        save_every: steps between checkpoints.
    """

    model: ModelConfig
    phases: tuple[Phase, ...]
    seed: int = 0
    ema: float = 0.99
    validate_every: int = 2000
    save_every: int = 250

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> tuple[Phase, int]:
        """The phase that `step` falls in, and how many steps of it are done."""
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        return self.phases[-1], self.phases[-1].steps

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Read a recipe. Raises `ValueError` that names the file and the unknown or missing field."""
        try:
            values = json.loads(path.read_text())
            model = ModelConfig.from_fields(values.pop("model"))
            phases = tuple(_known(Phase, phase) for phase in values.pop("phases"))
            return _known(cls, values | {"model": model, "phases": phases})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: not a training recipe: {error}") from error


def _known(kind: type, values: dict[str, Any]) -> Any:
    unknown = set(values) - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"unknown {kind.__name__} fields {sorted(unknown)}")
    return kind(**values)
