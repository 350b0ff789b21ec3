"""The training loop: phases, quantizer dropout, averaged weights, validation, exact resume."""

from __future__ import annotations

import copy
import csv
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from vqcodec.model import VQGAN
from vqcodec.training import distributed
from vqcodec.training.codebook import CodebookLearner
from vqcodec.training.config import Phase, TrainConfig
from vqcodec.training.data import CropSampler
from vqcodec.training.discriminator import FeatureDiscriminator, adversarial, hinge
from vqcodec.training.grow import grow
from vqcodec.training.optim import Muon
from vqcodec.training.perceptual import MARGIN, PerceptualDistance, distance, shifted, texture_distance
from vqcodec.training.validation import Validator
from vqcodec.weights import ModelFile, load_model

LOG_EVERY = 50
# The averaged weights from before the first adversarial phase.
FIDELITY = "fidelity.pt"
# Edges in pixels of the cells of `lattice_error`, and how many cells a window has along each edge.
LATTICES = (8, 16)
CELLS = 8
# Steps between measurements of the scale of the adversarial loss.
BALANCE_EVERY = 8
USAGE_ALARM = 0.5
# The discriminator's hinge loss is 2 where it tells nothing apart, and 0 where nothing can fool it any more.
DISCRIMINATOR_ALARM = (0.02, 1.98)


def lattice_error(error: Tensor) -> Tensor:
    """Mean absolute error of what repeats every 8 pixels, and of what repeats every 16, summed.

    Errors are averaged over pixels of the same place in neighbouring cells, and what all pixels of a cell have in
    common is left out. Texture whose strokes lie elsewhere than they should averages out. A grid does not, which a
    generator without noise likes to draw for texture.

    Args:
        error: (N, C, h, w), h and w multiples of 16; what is left beyond windows of 8 x 8 cells does not count.
    """
    total = error.new_zeros(())
    for cell in LATTICES:
        rows, columns = (max(1, side // (cell * CELLS)) for side in error.shape[2:])
        down, over = (min(CELLS, side // cell) for side in error.shape[2:])
        part = error[..., : rows * down * cell, : columns * over * cell]
        cells = part.reshape(*error.shape[:2], rows, down, cell, columns, over, cell).mean((3, 6))
        total = total + (cells - cells.mean((3, 5), keepdim=True)).abs().mean()
    return total


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 autocast, on a CPU where it has native instructions for it, otherwise float32."""
    native = device.type != "cpu" or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.autocast(device.type, torch.bfloat16, enabled=native)


class Trainer:
    """Trains a `VQGAN` by a recipe, and resumes exactly where a run stopped.

    Started by `torchrun`, several processes share the batches: gradients and codeword statistics are those of all
    crops together. The first process logs, validates and saves.

    A run folder holds `checkpoint.pt` (everything that the next step depends on), `metrics.csv` and
    `validation.csv`, and from the first adversarial phase on `fidelity.pt`, the averaged weights from before it.

    Args:
        config: the recipe.
        crops: source of training crops.
        validator: measures the averaged weights on whole photographs.
        out: run folder; resumed if it holds a checkpoint.
        start: model file that a new run continues from, at the step that it was released at. What model files do
            not hold (state of the optimisers, discriminator) starts anew. The recipe's model may have more blocks.
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
        self.model = VQGAN(config.model).to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.perceptual = PerceptualDistance().to(self.device, memory_format=torch.channels_last)
        discriminator = FeatureDiscriminator(self.perceptual.features.channels)
        self.discriminator = discriminator.to(self.device, memory_format=torch.channels_last)
        self.discriminator_optimiser = torch.optim.AdamW(
            self.discriminator.parameters(), lr=0.0, betas=(0.5, 0.9), weight_decay=0.0, foreach=True
        )
        self.learner = CodebookLearner(self.model.quantizer)
        self.parameters = [*self.model.encoder.parameters(), *self.model.generator.parameters()]
        matrices = [p for p in self.parameters if p.ndim == 4]
        others = [p for p in self.parameters if p.ndim != 4]
        self.optimisers = [
            Muon(matrices, lr=0.0),
            torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0, foreach=True),
        ]
        self.step = 0
        self.skipped = 0
        self.seconds = 0.0
        self.balance = 0.0
        self.generator = torch.Generator()
        self.stopping = False
        out.mkdir(parents=True, exist_ok=True)
        self.window: list[dict[str, float]] = []
        self.assignments = torch.zeros(config.model.stages, config.model.codebook_size, device=self.device)
        if (out / "checkpoint.pt").exists():
            self.load_state_dict(torch.load(out / "checkpoint.pt", self.device, weights_only=True))
        elif start:
            self.adopt(load_model(start))

    def adopt(self, file: ModelFile) -> None:
        """Continue from a model file, with its second generator if an adversarial phase goes on.

        Raises:
            ValueError: its model is not that of the recipe with fewer blocks.
        """
        try:
            self.load_weights(grow(file.model.state_dict(), file.model.config, self.config.model))
        except ValueError as error:
            raise ValueError(f"{file.path}: not the model of the recipe: {error}") from error
        self.step = int(file.notes.get("steps", 0))
        self.seconds = 3600 * float(file.notes.get("hours", 0))
        phase, _ = self.config.phase_at(self.step)
        if file.realistic and phase.adversarial:
            self.keep_fidelity()
            second = {f"generator.{name}": value for name, value in file.realistic.items()}
            second = file.model.state_dict() | second
            self.load_weights(grow(second, file.model.config, self.config.model))
        self.learner.adopt(phase.batch * (phase.crop // 16) ** 2)

    def load_weights(self, state: dict[str, Tensor]) -> None:
        for model in (self.model, self.average):
            model.load_state_dict(state)

    # --- one step -------------------------------------------------------------------------------------

    def learning_rate(self, phase: Phase, done: int) -> float:
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, done / phase.steps))
        rate = phase.final_lr + (phase.lr - phase.final_lr) * cosine
        return rate * min(1.0, (done + 1) / phase.warmup) if phase.warmup else rate

    def train_step(self) -> None:
        phase, done = self.config.phase_at(self.step)
        if phase.adversarial:
            self.keep_fidelity()
        rate = self.learning_rate(phase, done)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate

        # Every draw of a step follows from its number, so that a stopped run needs to remember none.
        rng = np.random.default_rng((self.config.seed, self.step, distributed.rank()))
        self.generator.manual_seed(int(rng.integers(2**63)))
        count = max(1, phase.batch // distributed.size())
        pictures = self.crops.batch(rng, count, phase.crop).to(self.device, memory_format=torch.channels_last)
        losses = self.backward(phase, done, pictures)
        distributed.mean_(param.grad for param in self.parameters if param.grad is not None)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if torch.isfinite(norm):
            for optimiser in self.optimisers:
                optimiser.step()
            self.update_average()
        else:
            self.skipped += 1
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        self.window.append(
            {name: value.item() for name, value in losses.items()} | {"gradient": norm.item(), "lr": rate}
        )
        self.step += 1

    def backward(self, phase: Phase, done: int, pictures: Tensor) -> dict[str, Tensor]:
        """Compute the losses and the gradients of everything that learns; the discriminator takes its step."""
        count = len(pictures)
        with torch.set_grad_enabled(phase.train_encoder), autocast(self.device):
            raw = self.model.encoder(pictures).float()
        if phase.train_encoder:
            # The batch's own scale carries a gradient, so growing all latents gains nothing.
            rms = raw.square().mean().sqrt()
            common = rms.detach().clone()
            distributed.mean_([common])
            if torch.isfinite(common):
                self.model.latent_rms.lerp_(common, 0.02 if self.step else 1.0)
        else:
            rms = common = self.model.latent_rms
        latents = (raw / rms).permute(0, 2, 3, 1)
        flat = latents.reshape(-1, latents.shape[-1])

        stages = torch.randint(1, self.config.model.stages + 1, (count,), generator=self.generator)
        full = torch.rand(count, generator=self.generator) < phase.full_stages
        stages = torch.where(full, self.config.model.stages, stages).to(self.device)
        commitment = torch.zeros((), device=self.device)
        if phase.quantize:
            if not self.learner.initialised:
                self.learner.initialise(flat.detach(), self.generator)
            lagrangian = self.draw_lagrangian(phase, count).repeat_interleave(len(flat) // count)
            quantized = self.model.quantizer.quantize(flat.detach(), lagrangian=lagrangian)
            if phase.train_encoder and torch.isfinite(common):
                self.learner.update(quantized, self.generator)
            for stage, index in enumerate(quantized.indices.unbind(1)):
                self.assignments[stage] += torch.bincount(index, minlength=self.assignments.shape[1])
            per_position = (stages - 1).repeat_interleave(len(flat) // count)
            chosen = quantized.partial[per_position, torch.arange(len(flat), device=self.device)]
            commitment = (flat - chosen).square().mean()
            flat = flat + (chosen - flat).detach()
        with autocast(self.device):
            decoded = self.model.synthesise(flat.view_as(latents).permute(0, 3, 1, 2), stages).float()

        error = decoded - pictures
        l1, mse = error.abs().mean(), error.square().mean()
        quarter = F.avg_pool2d(error, 4)
        coarse = quarter.abs().mean() + F.avg_pool2d(quarter, 4).abs().mean()
        lattice = lattice_error(error) if phase.lattice else torch.zeros((), device=self.device)
        judged = math.ceil(phase.judged * count)
        shift = torch.randint(MARGIN, (2,), generator=self.generator).tolist()
        with torch.no_grad():
            wanted = self.perceptual.features(shifted(pictures[:judged], *shift))
        features = self.perceptual.features(shifted(decoded[:judged], *shift))
        perceptual = distance(features, wanted).mean()
        texture = torch.zeros((), device=self.device)
        if phase.texture:
            texture = texture_distance(features, wanted).mean()
        picture_loss = phase.l1 * l1 + phase.mse * mse + phase.coarse * coarse
        picture_loss = picture_loss + phase.lattice * lattice
        picture_loss = picture_loss + phase.perceptual * perceptual + phase.texture * texture
        total = picture_loss + phase.commitment * commitment
        losses = {
            "total": total,
            "l1": l1,
            "mse": mse,
            "coarse": coarse,
            "lattice": lattice,
            "perceptual": perceptual,
            "texture": texture,
            "commitment": commitment,
            "bits": self.model.quantizer.rate(quantized.indices).mean()
            if phase.quantize
            else torch.zeros(()),
            "discriminator": torch.zeros(()),
            "adversarial": torch.zeros(()),
        }
        if not phase.adversarial:
            total.backward()
            return losses

        losses["discriminator"] = self.train_discriminator(
            phase, wanted, [part.detach() for part in features]
        )
        if done < phase.discriminator_start or not torch.isfinite(total):
            total.backward()
            return losses
        with autocast(self.device):
            judgement = self.discriminator(features)
        losses["adversarial"] = adversarial(judgement)
        # Both gradients at the decoded picture, the adversarial one scaled to a share of the other. The scale changes
        # slowly, and finding it takes a second pass through the perceptual network.
        if self.step % BALANCE_EVERY == 0 or not self.balance:
            (others,) = torch.autograd.grad(picture_loss, decoded, retain_graph=True)
            (fooling,) = torch.autograd.grad(losses["adversarial"], decoded)
            self.balance = min(float(others.norm() / (fooling.norm() + 1e-8)), 1e4)
            gradient = others + phase.adversarial * self.balance * fooling
        else:
            weighted = picture_loss + phase.adversarial * self.balance * losses["adversarial"]
            (gradient,) = torch.autograd.grad(weighted, decoded)
        roots, gradients = [decoded], [gradient]
        if commitment.requires_grad:
            roots.append(commitment)
            gradients.append(torch.tensor(phase.commitment, device=self.device))
        torch.autograd.backward(roots, gradients)
        return losses

    def train_discriminator(self, phase: Phase, real: list[Tensor], generated: list[Tensor]) -> Tensor:
        for group in self.discriminator_optimiser.param_groups:
            group["lr"] = phase.discriminator_lr
        with autocast(self.device):
            judgements = self.discriminator(real), self.discriminator(generated)
        loss = hinge(*judgements)
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        common = loss.detach().clone()
        distributed.mean_([common])
        if torch.isfinite(common):
            loss.backward()
            distributed.mean_(param.grad for param in self.discriminator.parameters())
            self.discriminator_optimiser.step()
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    def draw_lagrangian(self, phase: Phase, count: int) -> Tensor:
        """One price of a bit per crop, log-uniform over the 1.3 decades that quality 0 to 100 spans."""
        draws = torch.rand(count, generator=self.generator)
        return (phase.rate * 10 ** (-1.3 * draws)).to(self.device)

    @torch.no_grad()
    def update_average(self) -> None:
        decay = min(self.config.ema, (self.step + 1) / (self.step + 10))
        # The codebooks are averaged alike: they have to fit the averaged encoder.
        torch._foreach_lerp_(
            [*self.average.parameters(), *self.average.buffers()],
            [*self.model.parameters(), *self.model.buffers()],
            1 - decay,
        )

    # --- the run --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end of the recipe. An interrupt or a termination signal ends it after the step at hand."""
        first = distributed.rank() == 0
        handlers = {kind: signal.signal(kind, self.stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        bar = tqdm(total=self.config.steps, initial=self.step, unit="step", disable=None if first else True)
        clock = time.monotonic()
        try:
            while self.step < self.config.steps and not self.stop_together():
                self.train_step()
                now = time.monotonic()
                self.seconds += now - clock
                clock = now
                bar.update()
                if self.step % LOG_EVERY == 0:
                    self.log(bar)
                if first and self.step % self.config.save_every == 0:
                    self.save()
                if first and self.validator and self.step % self.config.validate_every == 0:
                    self.validate()
                    clock = time.monotonic()
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
        self.stopping = True

    def stop_together(self) -> bool:
        """Whether any process was told to stop: one that stopped alone would leave the others waiting."""
        flag = torch.tensor(float(self.stopping), device=self.device)
        distributed.sum_([flag])
        self.stopping = flag.item() > 0
        return self.stopping

    def log(self, bar: tqdm) -> None:
        row: dict[str, Any] = {"step": self.step, "hours": round(self.seconds / 3600, 4)}
        phase, _ = self.config.phase_at(self.step - 1)
        row["phase"] = phase.name
        for name in self.window[0]:
            row[name] = f"{np.mean([entry[name] for entry in self.window]):.5g}"
        row |= {"skipped": self.skipped, "restarts": self.learner.restarts}
        if phase.quantize:
            share = self.assignments / self.assignments.sum(1, keepdim=True).clamp_min(1)
            usage = (self.assignments > 0).float().mean(1)
            perplexity = torch.exp(-(share * share.clamp_min(1e-12).log()).sum(1))
            # A window of few crops cannot touch all codewords: judge against what it could touch.
            reach = 1 - math.exp(-float(self.assignments[0].sum()) / self.assignments.shape[1])
            if float(usage.min()) < USAGE_ALARM * reach:
                worst = int(usage.argmin())
                bar.write(f"step {self.step}: alarm: stage {worst} uses {usage[worst]:.0%} of its codewords")
        else:
            usage = perplexity = torch.zeros(self.config.model.stages)
        if phase.adversarial and self.step > phase.discriminator_start:
            loss = float(row["discriminator"])
            if not DISCRIMINATOR_ALARM[0] < loss < DISCRIMINATOR_ALARM[1]:
                bar.write(f"step {self.step}: alarm: the discriminator stands still at a loss of {loss:.3f}")
        row |= {f"usage{s}": f"{float(u):.3f}" for s, u in enumerate(usage)}
        row |= {f"perplexity{s}": f"{float(p):.0f}" for s, p in enumerate(perplexity)}
        if distributed.rank() == 0:
            append_row(self.out / "metrics.csv", row)
        bar.set_postfix(l1=row["l1"], perceptual=row["perceptual"], usage=row[f"usage{len(usage) - 1}"])
        self.window.clear()
        self.assignments.zero_()

    def validate(self) -> None:
        row = {"step": self.step, "hours": round(self.seconds / 3600, 4)}
        append_row(self.out / "validation.csv", row | self.validator.measure(self.average))

    # --- state ----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimiser": self.discriminator_optimiser.state_dict(),
            "learner": self.learner.state_dict(),
            "step": self.step,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "balance": self.balance,
            "window": self.window,
            "assignments": self.assignments,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimiser, values in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(values)
        self.discriminator.load_state_dict(state["discriminator"])
        self.discriminator_optimiser.load_state_dict(state["discriminator_optimiser"])
        self.learner.load_state_dict(state["learner"])
        self.step = state["step"]
        self.skipped = state["skipped"]
        self.seconds = state["seconds"]
        self.balance = state.get("balance", 0.0)
        self.window = state["window"]
        self.assignments = state["assignments"]
        if distributed.rank() == 0:
            for name in ("metrics.csv", "validation.csv"):
                drop_rows_after(self.out / name, self.step)

    def keep_fidelity(self) -> None:
        """Keep the averaged weights as they are now, unless there are some kept."""
        if distributed.rank() == 0 and not (self.out / FIDELITY).exists():
            torch.save(self.average.state_dict(), self.out / FIDELITY)

    def save(self) -> None:
        """Write the checkpoint in one move: a stop at any moment leaves the old or the new one."""
        temporary = self.out / "checkpoint.tmp"
        torch.save(self.state_dict(), temporary)
        os.replace(temporary, self.out / "checkpoint.pt")


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Append to a CSV file. One with other columns, of another version, is written anew with the columns of both."""
    columns, rows = [], []
    if path.exists():
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            rows = [] if set(columns) == set(row) else list(reader)
    known = set(columns) == set(row)
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
