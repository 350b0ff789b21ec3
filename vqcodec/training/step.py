"""One pass of pictures through the model, with everything that learning needs of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vqcodec.model import VQGAN
from vqcodec.training import distributed
from vqcodec.training.codebook import CodebookLearner
from vqcodec.training.config import LMBDA_DECADES, Phase

# Weight of a batch in the running root mean square of the latents.
_RMS_SHARE = 0.02


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 autocast, on a CPU where it has native instructions for it, otherwise float32."""
    native = device.type != "cpu" or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.autocast(device.type, torch.bfloat16, enabled=native)


@dataclass
class Passed:
    """What came of a pass.

    Attributes:
        decoded: (N, 3, H, W) float32.
        commitment: mean squared distance of the latents from the codewords chosen.
        bits: estimated rate per latent position.
        indices: (N h w, S) int64, or `None` where nothing was quantized.
    """

    decoded: Tensor
    commitment: Tensor
    bits: Tensor
    indices: Tensor | None = None


class ForwardPass:
    """Runs pictures through encoder, quantizer and generator; the codebooks learn on the way.

    Args:
        model: the network.
        learner: of its codebooks.
        generator: source of all draws.
    """

    def __init__(self, model: VQGAN, learner: CodebookLearner, generator: torch.Generator) -> None:
        self._model = model
        self._learner = learner
        self._generator = generator

    def __call__(self, phase: Phase, pictures: Tensor, first: bool) -> Passed:
        """Pass pictures (N, 3, H, W) through; `first` for the first step of a run."""
        device = pictures.device
        latents, finite = self._analyse(phase, pictures, first)
        flat = latents.reshape(-1, latents.shape[-1])
        stages = self._draw_stages(phase, len(pictures)).to(device)
        passed = Passed(pictures, torch.zeros((), device=device), torch.zeros((), device=device))
        if phase.quantize:
            flat = self._quantize(phase, flat, stages, finite, passed)
        with autocast(device):
            latents = flat.view_as(latents).permute(0, 3, 1, 2)
            passed.decoded = self._model.synthesise(latents, stages).float()
        return passed

    def _analyse(self, phase: Phase, pictures: Tensor, first: bool) -> tuple[Tensor, bool]:
        """Latents (N, h, w, D) of unit scale, and whether they are finite in all processes."""
        with torch.set_grad_enabled(phase.train_encoder), autocast(pictures.device):
            raw = self._model.encoder(pictures).float().permute(0, 2, 3, 1)
        if not phase.train_encoder:
            return raw / self._model.latent_rms, True
        # The batch's own scale carries a gradient, so growing all latents gains nothing.
        rms = raw.square().mean().sqrt()
        common = rms.detach().clone()
        distributed.mean_([common])
        finite = bool(torch.isfinite(common))
        if finite:
            self._model.latent_rms.lerp_(common, 1.0 if first else _RMS_SHARE)
        return raw / rms, finite

    def _quantize(self, phase: Phase, flat: Tensor, stages: Tensor, finite: bool, passed: Passed) -> Tensor:
        """Latents (n, D) quantized, with the gradient passed through (straight-through estimator)."""
        if not self._learner.initialised:
            self._learner.initialise(flat.detach(), self._generator)
        positions = len(flat) // len(stages)
        lmbda = self._draw_lmbda(phase, len(stages)).to(flat.device).repeat_interleave(positions)
        quantized = self._model.quantizer.quantize(flat.detach(), lmbda=lmbda)
        if phase.train_encoder and finite:
            self._learner.update(quantized, self._generator)
        last = (stages - 1).repeat_interleave(positions)
        chosen = quantized.partial[last, torch.arange(len(flat), device=flat.device)]
        passed.commitment = (flat - chosen).square().mean()
        passed.bits = self._model.quantizer.rate(quantized.indices).mean()
        passed.indices = quantized.indices
        return flat + (chosen - flat).detach()

    def _draw_stages(self, phase: Phase, count: int) -> Tensor:
        """Quantizer dropout: the number of stages of each crop (N,), all of them for most."""
        most = self._model.config.stages
        stages = torch.randint(1, most + 1, (count,), generator=self._generator)
        full = torch.rand(count, generator=self._generator) < phase.full_stages
        return torch.where(full, most, stages)

    def _draw_lmbda(self, phase: Phase, count: int) -> Tensor:
        """One lambda per crop (N,), log-uniform over the decades below the phase's largest."""
        draws = torch.rand(count, generator=self._generator)
        return phase.lmbda * 10 ** (-LMBDA_DECADES * draws)
