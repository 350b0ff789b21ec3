"""One pass of pictures through the model, with everything that learning needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vqcodec.model import VQGAN
from vqcodec.model.base import Base
from vqcodec.rate import BEND
from vqcodec.runtime.device import autocast
from vqcodec.training import distributed
from vqcodec.training.codebook import CodebookLearner
from vqcodec.training.config import Phase
from vqcodec.training.plain import finer_steps

# Turns of the dial from one crop to the next: any first few crops of a batch are spread evenly.
_GOLDEN = (5**0.5 - 1) / 2
# Weight of a batch in the running root mean square of the latents.
_RMS_SHARE = 0.02


@dataclass
class Passed:
    """What came of a pass.

    Attributes:
        decoded: (N, 3, H, W) float32.
        rate: (N,), points of the rate dial that were drawn, 0..1.
        commitment: (N,), mean squared distances of the latents from the codewords chosen; 0 without quantization.
        bits: estimated rate of the latents, in bits per pixel, without the base.
        indices: of each band, (n, S) int64; empty where nothing was quantized.
    """

    decoded: Tensor
    rate: Tensor
    commitment: Tensor
    bits: Tensor
    indices: list[Tensor] = field(default_factory=list)


class ForwardPass:
    """Runs pictures through encoder, quantizers and generator; the codebooks learn on the way.

    Args:
        model: the network.
        learners: of its codebooks, by band.
        generator: source of all draws.
    """

    def __init__(
        self,
        model: VQGAN,
        learners: Sequence[CodebookLearner],
        generator: torch.Generator,
    ) -> None:
        self._model = model
        self._learners = learners
        self._generator = generator

    def __call__(self, phase: Phase, pictures: Tensor, first: bool) -> Passed:
        """Pass pictures (N, 3, H, W) through; `first` for the first step of a run."""
        device, count = pictures.device, len(pictures)
        # Spread over the dial as the qualities of files are, so that every batch has low and high rates. So have its
        # first crops, which are all that some losses see.
        start = torch.rand((), generator=self._generator)
        rate = (start + _GOLDEN * torch.arange(count)).remainder(1).pow(BEND).to(device)
        base = self._model.base(pictures, self.base_steps(pictures, rate))
        none = torch.zeros((), device=device)
        passed = Passed(pictures, rate, none.expand(count), none)
        latents, finite = self._analyse(phase, passed, base, first)
        if phase.quantize:
            latents = self._quantize(phase, latents, rate, finite, passed)
        with autocast(device):
            passed.decoded = self._model.synthesise(latents, base, rate)
        return passed

    def base_steps(self, pictures: Tensor, rate: Tensor) -> Tensor:
        """Steps of the base (N,), from those of the dial down to one level, which files take for plain pictures."""
        steps = self._model.config.base_step(rate)
        draws = torch.rand(len(rate), generator=self._generator).to(rate.device)
        return finer_steps(steps, pictures, draws)

    def _analyse(
        self, phase: Phase, passed: Passed, base: Base, first: bool
    ) -> tuple[dict[int, Tensor], bool]:
        """Latents by downsampling, (N, D, h, w), of unit scale, and whether they are finite in all processes."""
        pictures, rate = passed.decoded, passed.rate
        with torch.set_grad_enabled(phase.train_encoder), autocast(pictures.device):
            raw = self._model.raw_latents(pictures, base, rate)
        latents, finite = {}, True
        for number, grid in enumerate(raw):
            values = raw[grid].float()
            if not phase.train_encoder:
                latents[grid] = values / self._model.latent_rms[number]
                continue
            # The batch's own scale carries a gradient, so growing all latents gains nothing.
            rms = values.square().mean().sqrt()
            common = rms.detach().clone()
            distributed.mean_([common])
            if torch.isfinite(common):
                self._model.latent_rms[number].lerp_(common, 1.0 if first else _RMS_SHARE)
            else:
                finite = False
            latents[grid] = values / rms
        return latents, finite

    def _quantize(
        self, phase: Phase, latents: dict[int, Tensor], rate: Tensor, finite: bool, passed: Passed
    ) -> dict[int, Tensor]:
        """Latents quantized, with the gradient passed through (straight-through estimator)."""
        lmbda = self._model.config.lmbda(rate)
        parts, bits = [], torch.zeros((), device=rate.device)
        for band, part, learner in zip(
            self._model.config.bands, self._model.by_band(latents), self._learners, strict=True
        ):
            count, dim, rows, columns = part.shape
            flat = part.detach().permute(0, 2, 3, 1).reshape(-1, dim)
            if not learner.initialised:
                learner.initialise(flat, self._generator)
            positions = rows * columns
            rates = rate.repeat_interleave(positions)
            quantized = learner.quantizer.quantize(flat, lmbda.repeat_interleave(positions), rates)
            if phase.train_encoder and finite:
                learner.update(quantized, rates, self._generator)
            passed.indices.append(quantized.indices)
            bits = bits + quantized.bits.mean() / band.downsampling**2
            parts.append(quantized.partial[-1].view(count, rows, columns, dim).permute(0, 3, 1, 2))
        chosen = self._model.by_grid(parts)
        number = sum(values[0].numel() for values in latents.values())
        errors = [(latents[grid] - chosen[grid]).square().sum((1, 2, 3)) for grid in latents]
        passed.commitment = torch.stack(errors).sum(0) / number
        passed.bits = bits
        return {grid: latents[grid] + (chosen[grid] - latents[grid]).detach() for grid in latents}
