"""The training recipe: phases with their crops, learning rates and loss weights, read from a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vqcodec.config import ModelConfig
from vqcodec.training.losses import LOOK_AT_FEATURES, LOSSES, Weight
from vqcodec.training.perceptual import MARGIN


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
        losses: weights of the losses of the decoded picture, by the names of `vqcodec.training.losses`: a number each,
            or two, for the lowest and the highest rate, between which it goes along the dial.
        judged: share of the crops that the perceptual network and the discriminator see. On all of them the former
            costs as much as the codec.
        compared: share that ST-LPIPS sees, of which `judged` is the most. It takes many times as long as the codec.
        window: edge in pixels of the squares of the crops that the perceptual networks see, each step elsewhere; 0 for
            all but a margin.
        adversarial: weight of the adversarial loss, 0 for none, as a share of the gradient of all others at the
            decoded picture (VQGAN, equation 7).
        discriminator_lr: learning rate of the discriminator.
        discriminator_start: steps in which the discriminator alone learns, before the generator is told.
        commitment: weight of the commitment loss, which is the price of bits. It has to follow the weights of the
            losses of the picture: a sixtieth of that of the squared error where this is alone.
        balanced: divide the commitment loss by what errors of pixels usually are at its rate, as these are. Otherwise
            bits at high rates cost the encoder a fraction of what they cost the quantizer, and the latents grow.
        train_encoder: whether encoder and codebooks learn; without, only the generator does.
        aside: train a generator for realism 0 that is set aside: the phase behind goes on from where this one started.
    """

    name: str
    steps: int
    crop: int = 64
    batch: int = 24
    lr: float = 1e-3
    final_lr: float = 1e-3
    warmup: int = 0
    quantize: bool = True
    losses: dict[str, Weight] = field(default_factory=lambda: {"mse": 50.0})
    judged: float = 0.5
    compared: float = 1.0
    window: int = 0
    adversarial: float = 0.0
    discriminator_lr: float = 2e-4
    discriminator_start: int = 0
    commitment: float = 0.8
    balanced: bool = True
    train_encoder: bool = True
    aside: bool = False

    def __post_init__(self) -> None:
        if unknown := set(self.losses) - set(LOSSES):
            raise ValueError(f"unknown losses {sorted(unknown)}, known are {', '.join(LOSSES)}")
        for name, weight in self.losses.items():
            if not _is_weight(weight):
                raise ValueError(f"weight of {name!r} is neither a number nor a pair of them")
        if not 0 <= self.window <= self.crop:
            raise ValueError(f"a window of {self.window} pixels is larger than the crops of {self.crop}")
        if self.aside and (self.train_encoder or self.adversarial):
            raise ValueError("a phase aside trains the generator alone, without adversarial loss")

    def learning_rate(self, done: int) -> float:
        """Learning rate after `done` steps of the phase: a cosine from `lr` to `final_lr`, after the warm-up."""
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, done / self.steps))
        lr = self.final_lr + (self.lr - self.final_lr) * cosine
        return lr * min(1.0, (done + 1) / self.warmup) if self.warmup else lr

    @property
    def margin(self) -> int:
        """Pixels by which what the perceptual networks see is smaller than the crops."""
        return self.crop - self.window if self.window else MARGIN

    @property
    def looks_at_features(self) -> bool:
        """Whether the perceptual network has to look at the pictures."""
        return bool(self.adversarial or LOOK_AT_FEATURES & set(self.losses))


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
        revive_every: steps of a phase, from its first, between looks for units that hardly ever fire, which then
            get new weights; 0 for never.
    """

    model: ModelConfig
    phases: tuple[Phase, ...]
    seed: int = 0
    ema: float = 0.99
    validate_every: int = 2000
    save_every: int = 250
    revive_every: int = 1000

    @property
    def steps(self) -> int:
        """Number of steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> tuple[Phase, int]:
        """The phase that `step` falls in, and how many steps of it are done."""
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        return self.phases[-1], self.phases[-1].steps

    def to_dict(self) -> dict[str, Any]:
        """The recipe in plain values, as in its JSON file."""
        return asdict(self)

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Read a recipe.

        Raises:
            ValueError: the file is not JSON, or a field is unknown, missing or wrong; the message names both.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise ValueError(f"{path}: not JSON: {error.msg} ({where})") from error
        try:
            _check_fields(cls, values)
            with _within("model"):
                _check_fields(ModelConfig, values["model"], all_needed=True)
                model = ModelConfig.from_fields(values["model"])
            phases = []
            for number, phase in enumerate(values["phases"], start=1):
                with _within(f"phase {number}"):
                    _check_fields(Phase, phase)
                    phases.append(Phase(**phase))
            return cls(**values | {"model": model, "phases": tuple(phases)})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a training recipe: {error}") from error


def _is_weight(value: Any) -> bool:
    ends = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
    return all(isinstance(end, int | float) and math.isfinite(end) for end in ends)


@contextmanager
def _within(part: str) -> Iterator[None]:
    """Name the part of the recipe that an error is in."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{part}: {error}") from error


def _check_fields(kind: type, values: Any, all_needed: bool = False) -> None:
    """Raise `ValueError` unless `values` has the fields of a dataclass, and no others; defaults need not be there."""
    if not isinstance(values, dict):
        raise ValueError(f"not an object of fields: {json.dumps(values)[:40]}")
    known = fields(kind)
    if unknown := sorted(set(values) - {one.name for one in known}):
        raise ValueError(f"{_named('unknown', unknown)}, known are {', '.join(one.name for one in known)}")
    needed = [one.name for one in known if all_needed or one.default is one.default_factory is MISSING]
    if missing := [name for name in needed if name not in values]:
        raise ValueError(_named("missing", missing))


def _named(fault: str, names: list[str]) -> str:
    return f"{fault} field{'s' * (len(names) > 1)} {', '.join(map(repr, names))}"
