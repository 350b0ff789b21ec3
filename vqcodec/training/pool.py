"""Planes of many crops, which tables and context models are learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from vqcodec.codebooks import BandCodebooks, PlainCodebook, codebooks_of
from vqcodec.model import VQGAN, TamingVQGAN
from vqcodec.model.base import Base, enlarged
from vqcodec.planes import RATES
from vqcodec.rate import BEND, LMBDAS_WITHOUT_DIAL
from vqcodec.runtime.device import autocast
from vqcodec.runtime.transform import PLAIN_STEP, PLAIN_TOLERANCE
from vqcodec.training.data import CropSampler
from vqcodec.training.plain import finer_steps

CROP = 256
"""Edge in pixels of the crops, or less if no photograph is that large."""

# Lambda is drawn around that of the rate by up to this factor: files of a given size have others.
_SPREAD = 1.3
_AT_ONCE = 8


@dataclass
class Pool:
    """Planes of N crops of one size.

    Attributes:
        layers: of each layer, (N, rows, columns) integers.
        rates: (N,) int64, points of the rate dial, 0..255.
        base: (N, 3, h, w) int16; `None` if the model has no base.
        steps: (N,) int64, steps of the base; `None` if the model has no base.
    """

    layers: list[Tensor]
    rates: Tensor
    base: Tensor | None = None
    steps: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rates)

    def at(self, rows: slice | Tensor) -> Pool:
        """Some of the crops."""
        return Pool(
            [layer[rows] for layer in self.layers],
            self.rates[rows],
            None if self.base is None else self.base[rows],
            None if self.steps is None else self.steps[rows],
        )

    @staticmethod
    def joined(parts: list[Pool]) -> Pool:
        """The crops of all parts."""
        bases = [part.base for part in parts if part.base is not None]
        steps = [part.steps for part in parts if part.steps is not None]
        return Pool(
            [torch.cat(planes) for planes in zip(*(part.layers for part in parts), strict=True)],
            torch.cat([part.rates for part in parts]),
            torch.cat(bases) if bases else None,
            torch.cat(steps) if steps else None,
        )


def index_pool(model: VQGAN | TamingVQGAN, crops: CropSampler, count: int, seed: int = 0) -> Pool:
    """Planes of random crops, encoded at random rates.

    Args:
        model: the network.
        crops: source of crops.
        count: number of crops.
        seed: of crops and rates.
    """
    rng = np.random.default_rng(seed)
    edge = min(CROP, crops.largest_crop) // model.config.downsampling * model.config.downsampling
    parts = []
    for start in tqdm(range(0, count, _AT_ONCE), desc="encoding crops", unit="batch", disable=None):
        size = min(_AT_ONCE, count - start)
        pictures = crops.batch(rng, size, edge).contiguous(memory_format=torch.channels_last)
        if isinstance(model, VQGAN):
            parts.append(_encoded(model, pictures, rng))
        else:
            parts.append(_encoded_without_dial(model, pictures, rng))
    return Pool.joined(parts)


@torch.no_grad()
def _encoded(model: VQGAN, pictures: Tensor, rng: np.random.Generator) -> Pool:
    count = len(pictures)
    # Every batch has low and high rates, spread as the qualities of files are.
    dial = ((rng.random() + np.arange(count) / count) % 1) ** BEND
    rates = np.round((RATES - 1) * dial)
    rate = torch.from_numpy(rates / (RATES - 1)).float()
    draws = torch.from_numpy(rng.random(count)).to(pictures)
    steps = finer_steps(model.config.base_step(rate.to(pictures)), pictures, draws).round()
    base = model.base(pictures, steps)
    with autocast(pictures.device):
        latents = model.analyse(pictures, base, rate)
    lmbdas = [model.config.lmbda(point) * _SPREAD ** rng.uniform(-1, 1) for point in rate.tolist()]
    coded = ~_plain(pictures, base, model.config.downsampling)
    of_bands = []
    for codebooks, part in zip(_codebooks(model), model.by_band(latents), strict=True):
        _, dim, rows, columns = part.shape
        flats = part.permute(0, 2, 3, 1).reshape(count, -1, dim).cpu().numpy()
        chosen = np.stack(
            [
                codebooks.choose(flat, lmbda, point)
                for flat, lmbda, point in zip(flats, lmbdas, rate.tolist(), strict=True)
            ]
        )
        scale = rows // coded.shape[1]
        there = coded.repeat_interleave(scale, 1).repeat_interleave(scale, 2).cpu()
        indices = torch.from_numpy(chosen).view(count, rows, columns, -1).to(torch.int16)
        of_bands.append(indices * there[..., None])
    layers = [of_bands[layer.band][..., layer.stage] for layer in model.config.layers]
    return Pool(
        layers,
        torch.from_numpy(rates).long(),
        base.planes.to(torch.int16),
        steps.long(),
    )


def _plain(pictures: Tensor, base: Base, step: int) -> Tensor:
    """Positions (N, h, w) bool that the base alone shows, which have no indices in files (`Transform.settle`)."""
    off = (pictures - enlarged(base.picture, step)).abs().amax(1) * 127.5
    worst = F.max_pool2d(off[:, None], step)[:, 0]
    return (worst <= PLAIN_TOLERANCE) & (base.steps == PLAIN_STEP)[:, None, None]


@torch.no_grad()
def _encoded_without_dial(model: TamingVQGAN, pictures: Tensor, rng: np.random.Generator) -> Pool:
    latents = model.analyse(pictures).permute(0, 2, 3, 1).cpu().numpy()
    (codebook,) = _codebooks(model)
    least, most = sorted(LMBDAS_WITHOUT_DIAL)
    chosen = []
    for latent in latents:
        # Some take the nearest codewords.
        lmbda = least * (most / least) ** rng.random() if rng.random() >= 0.125 else 0.0
        indices = codebook.choose(latent.reshape(-1, latent.shape[2]), lmbda)
        chosen.append(indices.reshape(latent.shape[:2]).astype(np.int32))
    return Pool([torch.from_numpy(np.stack(chosen))], torch.zeros(len(pictures), dtype=torch.int64))


def _codebooks(model: VQGAN | TamingVQGAN) -> list[BandCodebooks | PlainCodebook]:
    """The codebooks of the bands of a network, as coding uses them."""
    state = model.state_dict()
    return codebooks_of(
        model.config, {name: state[name].cpu().numpy() for name in state if "quantizer" in name}
    )
