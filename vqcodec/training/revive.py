"""Units of residual blocks that hardly ever fire, and new weights for them.

A unit whose ReLU is 0 at every position has no gradient, so it stays as it is, and its block computes with the others
alone. Without normalisation, whole blocks end like this. Such units get new weights on the way in and zeros on the way
out, so that pictures stay the same and the units can learn (ReDo, Sokar et al., ICML 2023, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from vqcodec.model import VQGAN
from vqcodec.model.blocks import ResidualBlock
from vqcodec.training import distributed
from vqcodec.training.codebook import CodebookLearner
from vqcodec.training.config import Phase
from vqcodec.training.data import CropSampler
from vqcodec.training.step import ForwardPass

# Pixels of the crops that units are judged by.
_PIXELS = 1 << 21
# Units that fire at a smaller share of positions are revived. New ones vary as those do that fire at this share or
# more, if there are as many of these in the block.
_RARE, _LIVE, _ENOUGH = 2e-3, 2e-2, 1 / 8
# New units fire where they are this many standard deviations above their mean.
_THRESHOLD = 0.3


class Reviver:
    """Gives units that hardly ever fire new weights, in a model and in its average.

    Args:
        model: the network that learns.
        average: its averaged weights, by which units are judged.
        optimisers: of the model. They forget what they remember of these units.

    Attributes:
        revived: number of units so far.
    """

    def __init__(self, model: VQGAN, average: VQGAN, optimisers: Sequence[Optimizer]) -> None:
        self.revived = 0
        self._optimisers = optimisers
        self._average = average
        self._draws = torch.Generator()
        learners = [CodebookLearner(quantizer) for quantizer in average.quantizers]
        for learner in learners:
            learner.initialised = True
        self._forward = ForwardPass(average, learners, self._draws)
        own = dict(model.named_modules())
        self._blocks = {
            name: (block, own[name])
            for name, block in average.named_modules()
            if isinstance(block, ResidualBlock)
        }

    @torch.no_grad()
    def __call__(self, phase: Phase, crops: CropSampler, seed: tuple[int, ...]) -> None:
        """Look at all blocks that learn in a phase.

        Args:
            phase: the phase.
            crops: source of pictures to judge units by.
            seed: of crops and weights.
        """
        rng = np.random.default_rng(seed)
        self._draws.manual_seed(int(rng.integers(2**63)))
        pictures = crops.batch(rng, max(1, _PIXELS // phase.crop**2), phase.crop)
        pictures = pictures.to(self._average.latent_rms.device, memory_format=torch.channels_last)
        hooks = [
            block.register_forward_pre_hook(self._hook(block, own))
            for name, (block, own) in self._blocks.items()
            if phase.train_encoder or name.startswith("generator")
        ]
        try:
            self._forward(replace(phase, train_encoder=False), pictures, first=False)
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(
        self, block: ResidualBlock, own: ResidualBlock
    ) -> Callable[[nn.Module, tuple[Tensor, Tensor]], None]:
        def look(_: nn.Module, given: tuple[Tensor, Tensor]) -> None:
            x, rate = given
            with torch.autocast(x.device.type, enabled=False):
                y = block.condition(F.relu(block.enter(x.float())), rate)
                self._revive(block, own, y)

        return look

    def _revive(self, block: ResidualBlock, own: ResidualBlock, y: Tensor) -> None:
        """Revive units of one block, given the input (N, C, H, W) of its 3x3 convolution."""
        before = block.spatial(y)
        fires = (before > 0).float().mean((0, 2, 3))
        distributed.broadcast_([fires])
        rare = (fires < _RARE).nonzero().flatten()
        if not len(rare):
            return
        self.revived += len(rare)
        weight = torch.empty_like(block.spatial.weight[rare]).cpu()
        bound = weight[0].numel() ** -0.5
        weight = weight.uniform_(-bound, bound, generator=self._draws).to(y.device)
        # What all inputs have in common would drown what tells them apart.
        common = F.normalize(y.mean((0, 2, 3)), dim=0)[:, None, None]
        weight -= (weight * common).sum(1, keepdim=True) * common
        after = F.conv2d(y, weight, padding=1)
        deviation, mean = after.std((0, 2, 3)), after.mean((0, 2, 3))
        live = before.std((0, 2, 3))[fires >= _LIVE]
        scale = torch.ones_like(mean)
        if len(live) >= _ENOUGH * len(fires):
            # Inputs may be the same everywhere.
            scale = torch.where(deviation > 0, live.median() / deviation, scale)
        weight *= scale[:, None, None, None]
        bias = -scale * (mean + _THRESHOLD * deviation)
        distributed.broadcast_([weight, bias])
        for part in (block, own):
            part.spatial.weight[rare] = weight
            assert part.spatial.bias is not None
            part.spatial.bias[rare] = bias
            part.leave.weight[:, rare] = 0
        for memory in self._remembered(own.spatial.parameters()):
            memory[rare] = 0
        for memory in self._remembered([own.leave.weight]):
            memory[:, rare] = 0

    def _remembered(self, parameters: Iterable[Tensor]) -> list[Tensor]:
        """What optimisers remember of every element of parameters."""
        return [
            memory
            for parameter in parameters
            for optimiser in self._optimisers
            for memory in optimiser.state.get(parameter, {}).values()
            if memory.shape == parameter.shape
        ]
