"""From a training run, or from a model file, to one with a context model.

Weights are averaged and rounded to float16, codewords are put in order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqcodec.entropy.weights import split
from vqcodec.model import VQGAN, ModelConfig, TamingVQGAN
from vqcodec.model.quantizer import rate_context
from vqcodec.rate import LARGEST_LMBDA
from vqcodec.training.context import FloatContextModel, index_pool, train_context
from vqcodec.training.data import CropSampler
from vqcodec.training.trainer import FIDELITY
from vqcodec.weights import ModelFile, frequencies, save_model

# Added to every count, so that a codeword that the sample happened to miss keeps a bounded cost.
PRIOR = 0.5
# Range of lambda that context models learn at.
LMBDAS = LARGEST_LMBDA / 40, LARGEST_LMBDA


def release(
    run: Path, out: Path, crops: CropSampler, pool: int = 24000, steps: int = 6000, realism: float = 1.0
) -> bytes:
    """Write the averaged weights of a run as a model file and return its model id.

    Of a run with an adversarial phase, the file holds the generator from before it and the one at the end.

    Args:
        run: folder of the training run.
        out: model file to write.
        crops: photographs that the context model learns from.
        pool: number of crops that it learns from.
        steps: its training steps.
        realism: share of the generator at the end where none is asked for, 0..1.
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
    charged = any(phase["lmbda"] for phase in state["config"]["phases"])
    planes = index_pool(model, crops, LMBDAS if charged else None, pool)
    notes = {"steps": str(state["step"]), "hours": f"{state['seconds'] / 3600:.2f}"}
    if realistic:
        notes["realism"] = f"{realism:g}"
    return _save(out, model, planes, steps, notes, realistic)


def refit(file: ModelFile, out: Path, crops: CropSampler, pool: int = 24000, steps: int = 6000) -> bytes:
    """Write a model file again with a new context model, and return its model id. Pictures stay what they are.

    A model without a context model gets its codewords sorted first, so its indices change. If all of them cost the same
    so far, count how often each is chosen.

    Args:
        file: what `load_model` returned; its model is changed.
        out, crops, pool, steps: as of `release`.
    """
    quantizer = file.model.quantizer
    if file.context is None:
        order_codewords(file.model)
    if (quantizer.bits == quantizer.bits[0, 0, 0]).all():
        planes = index_pool(file.model, crops, None, max(1, pool // 4))
        tables = frequencies(count_contexts(planes, file.model.config.codebook_size) + PRIOR)
        quantizer.bits.copy_(16 - torch.from_numpy(tables.astype(np.float32)).log2())
    planes = index_pool(file.model, crops, LMBDAS, pool)
    notes = {key: value for key, value in file.notes.items() if key in ("steps", "hours", "realism")}
    return _save(out, file.model, planes, steps, notes, file.realistic)


def _save(
    out: Path,
    model: VQGAN | TamingVQGAN,
    planes: Tensor,
    steps: int,
    notes: dict[str, str],
    realistic: dict[str, Tensor] | None,
) -> bytes:
    """Train a context model on planes (N, S, h, w), but for a tenth to measure it on, and write the model file."""
    held_out, planes = planes[: len(planes) // 10], planes[len(planes) // 10 :]
    context = train_context(planes, model.quantizer.codebooks, steps)
    tables = frequencies(count_contexts(planes, model.config.codebook_size) + PRIOR)
    out.parent.mkdir(parents=True, exist_ok=True)
    bits = bits_per_position(context, tables, held_out)
    notes = notes | {f"bits_{name}": f"{value:.3f}" for name, value in bits.items()}
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
def order_codewords(model: VQGAN | TamingVQGAN) -> None:
    """Sort every codebook so that each group of the context model holds neighbours, codeword 0 in its place.

    The context model codes an index as group and member; groups of like codewords are easier to foresee.
    """
    quantizer = model.quantizer
    groups, _ = split(quantizer.codebooks.shape[1])
    for stage, codebook in enumerate(quantizer.codebooks):
        order = torch.cat(_parted(codebook, torch.arange(len(codebook)), groups)).view(groups, -1)
        home = int((order == 0).any(1).nonzero())
        order = order.roll(-home, 0)
        first = order[0]
        order[0] = torch.cat([first[first == 0], first[first != 0]])
        quantizer.reorder(stage, order.flatten())


def _parted(codebook: Tensor, members: Tensor, parts: int) -> list[Tensor]:
    """Split into equal parts: along the first principal axis into two halves, again and again."""
    if parts == 1:
        return [members]
    vectors = codebook[members] - codebook[members].mean(0)
    axis = torch.linalg.eigh(vectors.T @ vectors).eigenvectors[:, -1]
    ordered = members[(vectors @ axis).argsort()]
    half = parts // 2
    middle = len(ordered) // parts * half
    return _parted(codebook, ordered[:middle], half) + _parted(codebook, ordered[middle:], parts - half)
