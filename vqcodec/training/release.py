"""From a training run to a model file: averaged weights as float16, codewords in order, a context model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqcodec.model import VQGAN, ModelConfig
from vqcodec.model.quantizer import rate_context
from vqcodec.rate import LARGEST_PRICE
from vqcodec.training.context import FloatContextModel, index_pool, train_context
from vqcodec.training.data import CropSampler
from vqcodec.training.trainer import FIDELITY
from vqcodec.weights import frequencies, save_model

# Added to every count, so that a codeword that the sample happened to miss is not priced out.
PRIOR = 0.5


def release(run: Path, out: Path, crops: CropSampler, pool: int = 2000, steps: int = 4000) -> bytes:
    """Write the averaged weights of a run as a model file and return its model id.

    Of a run with an adversarial phase, the file holds the generator from before it and the one at the end.

    Args:
        run: folder of the training run.
        out: model file to write.
        crops: photographs that the context model learns from.
        pool: number of crops that it learns from.
        steps: its training steps.
    """
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    model = VQGAN(ModelConfig.from_fields(state["config"]["model"])).eval().requires_grad_(False)
    realistic = None
    if (run / FIDELITY).exists():
        prefix = "generator."
        realistic = {
            key.removeprefix(prefix): value
            for key, value in state["average"].items()
            if key.startswith(prefix)
        }
        model.load_state_dict(torch.load(run / FIDELITY, weights_only=True))
    else:
        model.load_state_dict(state["average"])
    order_codewords(model)
    # What is counted and learned from is what the file will hold: weights rounded to float16.
    model.load_state_dict(
        {key: value.to(model.stored_as).float() for key, value in model.state_dict().items()}
    )
    charged = any(phase["rate"] for phase in state["config"]["phases"])
    planes = index_pool(model, crops, (LARGEST_PRICE / 40, LARGEST_PRICE) if charged else None, pool)
    held_out, planes = planes[: len(planes) // 10], planes[len(planes) // 10 :]
    context = train_context(planes, model.config.codebook_size, steps)
    tables = frequencies(count_contexts(planes, model.config.codebook_size) + PRIOR)
    out.parent.mkdir(parents=True, exist_ok=True)
    notes = {"steps": str(state["step"]), "hours": f"{state['seconds'] / 3600:.2f}"}
    notes |= {
        f"bits_{name}": f"{value:.3f}" for name, value in bits_per_position(context, tables, held_out).items()
    }
    return save_model(out, model, tables, context.export(), notes, realistic)


@torch.no_grad()
def bits_per_position(context: FloatContextModel, tables: np.ndarray, planes: Tensor) -> dict[str, float]:
    """Bits that a latent position takes on average with tables, and with the context model in integers and in float.

    Args:
        context: the context model as trained.
        tables: (S, 2, K) frequencies.
        planes: (N, S, h, w) integers that neither has seen.
    """
    information = 16 - torch.from_numpy(tables.astype(np.float64)).log2()
    columns = [plane.flatten().long() for plane in planes.unbind(1)]
    costs = [
        information[stage, rate_context(columns[:stage], len(column)), column].mean()
        for stage, column in enumerate(columns)
    ]
    bits = {"tables": float(sum(costs))}
    for name, rounding in (("context", True), ("context_float", False)):
        context.rounding = rounding
        parts = planes.split(32)
        bits[name] = sum(float(context.bits(part.long()).sum()) * len(part) for part in parts) / len(planes)
    context.rounding = True
    return bits


def count_contexts(planes: Tensor, codebook_size: int) -> np.ndarray:
    """How often every codeword is chosen per stage and rate context, (S, 2, K); planes (N, S, h, w) integers."""
    columns = [plane.flatten().long() for plane in planes.unbind(1)]
    counts = [
        torch.bincount(
            rate_context(columns[:stage], len(column)) * codebook_size + column, minlength=2 * codebook_size
        )
        for stage, column in enumerate(columns)
    ]
    return torch.stack(counts).view(len(columns), 2, codebook_size).numpy()


@torch.no_grad()
def order_codewords(model: VQGAN) -> None:
    """Sort every codebook so that each run of sqrt(K) codewords holds neighbours, codeword 0 in its place.

    The context model codes an index as group and member; groups of like codewords are easier to foresee.
    """
    quantizer = model.quantizer
    groups = round(quantizer.codebooks.shape[1] ** 0.5)
    for stage, codebook in enumerate(quantizer.codebooks):
        order = torch.cat([*_halves(codebook, torch.arange(len(codebook)), groups)]).view(groups, -1)
        home = int((order == 0).any(1).nonzero())
        order = order.roll(-home, 0)
        first = order[0]
        order[0] = torch.cat([first[first == 0], first[first != 0]])
        quantizer.codebooks[stage] = codebook[order.flatten()]
        quantizer.bits[stage] = quantizer.bits[stage][:, order.flatten()]


def _halves(codebook: Tensor, members: Tensor, parts: int) -> list[Tensor]:
    """Split along the first principal axis into two equal halves, again and again."""
    if parts == 1:
        return [members]
    vectors = codebook[members] - codebook[members].mean(0)
    axis = torch.linalg.eigh(vectors.T @ vectors).eigenvectors[:, -1]
    ordered = members[(vectors @ axis).argsort()]
    middle = len(ordered) // 2
    return _halves(codebook, ordered[:middle], parts // 2) + _halves(codebook, ordered[middle:], parts // 2)
