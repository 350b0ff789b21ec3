"""The training loop: optimisers, averaged weights, validation, exact resume."""

from __future__ import annotations

import copy
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.model import VQGAN
from vqcodec.runtime.device import autocast, channels_last
from vqcodec.training import checkpoint, compiled, distributed
from vqcodec.training.balancer import AdversarialBalancer
from vqcodec.training.checkpoint import CHECKPOINT, FIDELITY
from vqcodec.training.codebook import CodebookLearner
from vqcodec.training.config import Phase, TrainConfig
from vqcodec.training.data import CropSampler
from vqcodec.training.discriminator import FeatureDiscriminator, adversarial, train_discriminator
from vqcodec.training.grow import grow
from vqcodec.training.log import METRICS, VALIDATION, TrainingLog, append_row, drop_rows_after
from vqcodec.training.losses import picture_losses
from vqcodec.training.optim import optimisers_of, set_learning_rate
from vqcodec.training.revive import Reviver
from vqcodec.training.step import ForwardPass
from vqcodec.training.validation import Validator
from vqcodec.training.viewer import Viewer
from vqcodec.weights import ModelFile, load_model

LOG_EVERY = 50


class Trainer:
    """Trains a `VQGAN` by a recipe, and resumes exactly where a run stopped.

    Started by `torchrun`, several processes share the batches: gradients and codeword statistics are those of all
    crops together. The first process logs, validates and saves.

    A run folder holds `checkpoint.pt` (everything that the next step depends on), `metrics.csv` (a row every
    `LOG_EVERY` steps, and one for the rest when the recipe is finished), `validation.csv`, and from the first
    adversarial phase on `fidelity.pt`, the averaged weights from before it.

    Args:
        config: the recipe.
        crops: source of training crops.
        validator: measures the averaged weights on whole photographs.
        out: run folder; resumed if it holds a checkpoint.
        start: model file that a new run continues from, at the step that it was released at. What model files do
            not hold (state of the optimisers, discriminator) starts anew. The recipe's model may have more blocks, and
            another dial.

    Attributes:
        recipe_changed: whether the checkpoint in `out` was written under another recipe.

    Raises:
        ValueError: the checkpoint is damaged, or it or the model file is not of the recipe's model.
    """

    def __init__(
        self,
        config: TrainConfig,
        crops: CropSampler,
        validator: Validator | None,
        out: Path,
        start: Path | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.device = distributed.join()
        self.config = config
        self.crops = crops
        self.validator = validator
        self.out = out
        self.model = channels_last(VQGAN(config.model), self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        for network in (self.model.encoder, self.model.generator):
            compiled.prepare(network)
        self.generator = torch.Generator()
        self.viewer = Viewer(self.device, self.generator)
        discriminator = FeatureDiscriminator(self.viewer.perceptual.features.channels)
        self.discriminator = channels_last(discriminator, self.device)
        self.discriminator_optimiser = torch.optim.AdamW(
            self.discriminator.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=0.0, foreach=True
        )
        self.learners = [CodebookLearner(quantizer) for quantizer in self.model.quantizers]
        self.parameters = [*self.model.encoder.parameters(), *self.model.generator.parameters()]
        self.optimisers = optimisers_of(self.parameters)
        self.reviver = Reviver(self.model, self.average, self.optimisers)
        self.step = 0
        self.skipped = 0
        self.seconds = 0.0
        self.balancer = AdversarialBalancer()
        self.forward = ForwardPass(self.model, self.learners, self.generator)
        self.log = TrainingLog(config.model.bands, self.device)
        # The weights that a phase aside started from, while it lasts.
        self.branch: dict[str, dict[str, Tensor]] | None = None
        self.stopping = False
        self.recipe_changed = False
        out.mkdir(parents=True, exist_ok=True)
        if (out / CHECKPOINT).exists():
            self.load_state_dict(checkpoint.read(out / CHECKPOINT, self.device))
        elif start:
            self.adopt(load_model(start))

    def adopt(self, file: ModelFile) -> None:
        """Continue from a model file, with its second generator if the phase looks at features.

        Raises:
            ValueError: its model is not that of the recipe with fewer blocks.
        """
        try:
            weights = file.network().state_dict()
            self.load_weights(grow(weights, file.config, self.config.model))
        except ValueError as error:
            raise ValueError(f"{file.path}: not the model of the recipe: {error}") from error
        self.step = int(file.notes.get("steps", 0))
        self.seconds = 3600 * float(file.notes.get("hours", 0))
        phase, _ = self.config.phase_at(self.step)
        if file.realistic and phase.looks_at_features:
            if phase.adversarial:
                self.keep_fidelity()
            second = {f"generator.{name}": torch.from_numpy(value) for name, value in file.realistic.items()}
            self.load_weights(grow(weights | second, file.config, self.config.model))
        for band, learner in zip(self.config.model.bands, self.learners, strict=True):
            learner.adopt(phase.batch * (phase.crop // band.downsampling) ** 2)

    def load_weights(self, model: dict[str, Tensor], average: dict[str, Tensor] | None = None) -> None:
        """Set the weights of the model, and of its average if these are others."""
        self.model.load_state_dict(model)
        self.average.load_state_dict(model if average is None else average)

    # --- one step -------------------------------------------------------------------------------------

    def train_step(self) -> None:
        """Do one step of the recipe. A step whose loss or gradient is not finite changes nothing and is counted."""
        phase, done = self.config.phase_at(self.step)
        if phase.adversarial:
            self.keep_fidelity()
        if phase.aside and not done:
            self.branch = copy.deepcopy(self.weights())
        every = self.config.revive_every
        if every and self.step and done % every == 0:
            self.reviver(phase, self.crops, (self.config.seed, self.step))
        lr = phase.learning_rate(done)
        set_learning_rate(self.optimisers, lr)

        # Every draw of a step follows from its number, so that a stopped run needs to remember none.
        rng = np.random.default_rng((self.config.seed, self.step, distributed.rank()))
        self.generator.manual_seed(int(rng.integers(2**63)))
        count = max(1, phase.batch // distributed.size())
        pictures = self.crops.batch(rng, count, phase.crop).to(self.device, memory_format=torch.channels_last)
        losses = self.backward(phase, done, pictures)
        distributed.mean_(param.grad for param in self.parameters if param.grad is not None)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        # The gradient of a loss that is not a number may be one: that of an absolute value is 0.
        total = losses["total"].detach().clone()
        distributed.mean_([total])
        if torch.isfinite(norm) and torch.isfinite(total):
            for optimiser in self.optimisers:
                optimiser.step()
            self.update_average()
        else:
            self.skipped += 1
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        self.log.add(losses, gradient=norm.item(), lr=lr)
        self.step += 1
        if phase.aside and done + 1 == phase.steps:
            self.set_aside()

    def backward(self, phase: Phase, done: int, pictures: Tensor) -> dict[str, Tensor]:
        """Compute the losses and the gradients of everything that learns; the discriminator takes its step."""
        passed = self.forward(phase, pictures, first=self.step == 0)
        self.log.count(passed.indices)
        rendering = self.viewer(phase, passed.decoded, pictures, passed.rate)
        of_picture, losses = picture_losses(rendering, phase.losses)
        price = rendering.of_crops(passed.commitment) if phase.balanced else passed.commitment
        of_latents = phase.commitment * price.mean()
        total = of_picture + of_latents
        losses = {"total": total} | losses | {"commitment": passed.commitment.mean(), "bits": passed.bits}
        if phase.adversarial:
            generated = [part.detach() for part in rendering.features]
            losses["discriminator"] = train_discriminator(
                self.discriminator,
                self.discriminator_optimiser,
                rendering.wanted,
                generated,
                phase.discriminator_lr,
            )
        if not phase.adversarial or done < phase.discriminator_start or not torch.isfinite(total):
            total.backward()
            return losses
        with autocast(self.device):
            judgement = self.discriminator(rendering.features)
        fooling = losses["adversarial"] = adversarial(judgement)
        gradient = self.balancer.gradient(of_picture, fooling, phase.adversarial, passed.decoded, self.step)
        # The gradient of this product at the decoded picture is the one just found.
        ((passed.decoded * gradient).sum() + of_latents).backward()
        return losses

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averaged weights a little towards the current ones."""
        decay = min(self.config.ema, (self.step + 1) / (self.step + 10))
        # The codebooks are averaged alike: they have to fit the averaged encoder.
        torch._foreach_lerp_(
            [*self.average.parameters(), *self.average.buffers()],
            [*self.model.parameters(), *self.model.buffers()],
            1 - decay,
        )

    # --- the run --------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether all steps of the recipe are done."""
        return self.step >= self.config.steps

    def run(self) -> None:
        """Train to the end of the recipe. An interrupt or a termination signal ends it after the step at hand."""
        first = distributed.rank() == 0
        handlers = {kind: signal.signal(kind, self.stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        bar = tqdm(total=self.config.steps, initial=self.step, unit="step", disable=None if first else True)
        clock = time.monotonic()
        try:
            while not self.finished:
                # One process that stopped alone would leave the others waiting.
                self.stopping = distributed.any_of(self.stopping, self.device)
                if self.stopping:
                    break
                self.train_step()
                now = time.monotonic()
                self.seconds += now - clock
                clock = now
                bar.update()
                if self.step % LOG_EVERY == 0:
                    self.write_log(bar)
                if first and self.step % self.config.save_every == 0:
                    self.save()
                if first and self.validator and self.step % self.config.validate_every == 0:
                    self.validate(self.validator)
                    clock = time.monotonic()
            # A run that was stopped keeps its unwritten steps in the checkpoint, for the row that follows.
            if self.finished and self.log.window:
                self.write_log(bar)
        finally:
            bar.close()
            for kind, handler in handlers.items():
                signal.signal(kind, handler)
            if first:
                self.save()
            distributed.leave()
        if self.stopping:
            raise KeyboardInterrupt

    def stop(self, *_: Any) -> None:
        """Ask the run to end after the step at hand."""
        self.stopping = True

    def write_log(self, bar: tqdm) -> None:
        """Append a row to `metrics.csv`, and show alarms."""
        phase, _ = self.config.phase_at(self.step - 1)
        for alarm in self.log.alarms(bool(phase.adversarial)) if phase.quantize else ():
            bar.write(f"step {self.step}: alarm: {alarm}")
        row: dict[str, Any] = {"step": self.step, "hours": round(self.seconds / 3600, 4), "phase": phase.name}
        row |= self.log.row() | {
            "skipped": self.skipped,
            "restarts": sum(learner.restarts for learner in self.learners),
            "revived": self.reviver.revived,
        }
        if distributed.rank() == 0:
            append_row(self.out / METRICS, row)
        bar.set_postfix(total=row["total"], bits=row["bits"])

    def validate(self, validator: Validator) -> None:
        """Append a row to `validation.csv`."""
        row = {"step": self.step, "hours": round(self.seconds / 3600, 4)}
        append_row(self.out / VALIDATION, row | validator.measure(self.average))

    # --- state ----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "config": self.config.to_dict(),
            **self.weights(),
            "branch": self.branch,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimiser": self.discriminator_optimiser.state_dict(),
            "learners": [learner.state_dict() for learner in self.learners],
            **self.viewer.state_dict(),
            "step": self.step,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "revived": self.reviver.revived,
            "balance": self.balancer.scale,
            "window": self.log.window,
            "assignments": self.log.assignments,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, and drop what was logged after it."""
        own = self.config.to_dict()
        if state["config"]["model"] != own["model"]:
            raise ValueError(f"{self.out / CHECKPOINT}: not the model of the recipe")
        self.recipe_changed = state["config"] != own
        self.load_weights(state["model"], state["average"])
        self.branch = state.get("branch")
        for optimiser, values in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(values)
        self.discriminator.load_state_dict(state["discriminator"])
        self.discriminator_optimiser.load_state_dict(state["discriminator_optimiser"])
        for learner, values in zip(self.learners, state["learners"], strict=True):
            learner.load_state_dict(values)
        self.viewer.load_state_dict(state)
        self.step = state["step"]
        self.skipped = state["skipped"]
        self.seconds = state["seconds"]
        self.reviver.revived = state.get("revived", 0)
        self.balancer.scale = state["balance"]
        self.log.window = state["window"]
        self.log.assignments = state["assignments"]
        if distributed.rank() == 0:
            drop_rows_after(self.out, self.step)

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Those of the model and of its average."""
        return {"model": self.model.state_dict(), "average": self.average.state_dict()}

    def keep_fidelity(self, anew: bool = False) -> None:
        """Keep the averaged weights as they are now. Those that are kept stay, unless `anew`."""
        if distributed.rank() == 0 and (anew or not (self.out / FIDELITY).exists()):
            checkpoint.write(self.average.state_dict(), self.out / FIDELITY)

    def set_aside(self) -> None:
        """Keep the averaged weights, and go back to where the phase started."""
        assert self.branch is not None
        self.keep_fidelity(anew=True)
        self.load_weights(**self.branch)
        self.branch = None

    def save(self) -> None:
        """Write the checkpoint."""
        checkpoint.write(self.state_dict(), self.out / CHECKPOINT)
