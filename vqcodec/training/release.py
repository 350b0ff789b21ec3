"""From a training run, or from a model file, to one with tables and a context model.

Weights are averaged and rounded to float16, codewords are put in order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqcodec.config import ModelConfig
from vqcodec.entropy.base import ALPHABET, CONTEXTS, PLANES, count, quantized
from vqcodec.entropy.weights import split
from vqcodec.model import VQGAN, TamingVQGAN
from vqcodec.training import checkpoint
from vqcodec.training.checkpoint import CHECKPOINT, FIDELITY
from vqcodec.training.context import FloatContextModel, coded_indices, train_context
from vqcodec.training.data import CropSampler
from vqcodec.training.onnx.export import write_graphs
from vqcodec.training.pool import Pool, index_pool
from vqcodec.weights import ModelFile, frequencies, load_model, save_model

# Added to every count, so that a symbol that the sample happened to miss keeps a bounded cost.
PRIOR = 0.5
_BASE_PRIOR = 0.05


def release(
    run: Path, out: Path, crops: CropSampler, pool: int = 6000, steps: int = 3000, realism: float = 1.0
) -> bytes:
    """Write the averaged weights of a run as a model file and return its model id.

    Of a run with an adversarial phase, the file holds the generator from before it and the one at the end.

    Args:
        run: folder of the training run.
        out: model file to write.
        crops: photographs that tables and context model learn from.
        pool: number of crops that they learn from.
        steps: training steps of the context model.
        realism: share of the generator at the end where none is asked for, 0..1.

    Raises:
        ValueError: a file of the run is damaged; the message names it.
    """
    state = checkpoint.read(run / CHECKPOINT)
    model = VQGAN(ModelConfig.from_fields(state["config"]["model"])).eval().requires_grad_(False)
    realistic = None
    if (run / FIDELITY).exists():
        prefix = "generator."
        realistic = {
            key.removeprefix(prefix): value
            for key, value in state["average"].items()
            if key.startswith(prefix)
        }
        model.load_state_dict(checkpoint.read(run / FIDELITY))
    else:
        model.load_state_dict(state["average"])
    order_codewords(model)
    # What is counted and learned from is what the file will hold: weights rounded to float16.
    rms = model.latent_rms.clone()
    model.load_state_dict(
        {key: value.to(model.stored_as).float() for key, value in model.state_dict().items()}
    )
    model.latent_rms.copy_(rms)
    notes = {"steps": str(state["step"]), "hours": f"{state['seconds'] / 3600:.2f}"}
    if realistic:
        notes["realism"] = f"{realism:g}"
    return _save(out, model, index_pool(model, crops, pool), steps, notes, realistic)


def refit(file: ModelFile, out: Path, crops: CropSampler, pool: int = 6000, steps: int = 3000) -> bytes:
    """Write a model file again with new tables and a new context model, and return its model id.

    A model without a context model gets its codewords sorted first, so its indices change. If all of them cost the same
    so far, count how often each is chosen. Pictures stay what they are.

    Args:
        file: what `load_model` returned.
        out, crops, pool, steps: as of `release`.
    """
    model = file.network()
    if file.context is None:
        order_codewords(model)
    if isinstance(model, TamingVQGAN) and (model.quantizer.bits == model.quantizer.bits[0, 0]).all():
        found = index_pool(model, crops, max(1, pool // 4))
        (table,) = tables_of(found, model)
        model.quantizer.bits.copy_(16 - torch.from_numpy(table.astype(np.float32)).log2())
    notes = {key: value for key, value in file.notes.items() if key in ("steps", "hours", "realism")}
    realistic = {name: torch.from_numpy(value) for name, value in (file.realistic or {}).items()}
    return _save(out, model, index_pool(model, crops, pool), steps, notes, realistic)


def _save(
    out: Path,
    model: VQGAN | TamingVQGAN,
    pool: Pool,
    steps: int,
    notes: dict[str, str],
    realistic: dict[str, Tensor] | None,
) -> bytes:
    """Train a context model on a pool, but for a tenth to measure it on, and write the model file and its graphs."""
    tenth = len(pool) // 10
    held_out, pool = pool.at(slice(tenth)), pool.at(slice(tenth, None))
    context = train_context(pool, model.config, codebooks_of(model), steps)
    tables = tables_of(pool, model)
    out.parent.mkdir(parents=True, exist_ok=True)
    bits = bits_per_position(context, tables, held_out)
    notes = notes | {f"bits_{name}": f"{value:.3f}" for name, value in bits.items()}
    model_id = save_model(out, model, tables, context.export(), base_tables(pool), notes, realistic)
    if isinstance(model, VQGAN):
        write_graphs(load_model(out))
    return model_id


def codebooks_of(model: VQGAN | TamingVQGAN) -> list[Tensor]:
    """The codebooks (S, K, D) of every band."""
    if isinstance(model, VQGAN):
        return [quantizer.codebooks for quantizer in model.quantizers]
    return [model.quantizer.codebooks]


@torch.no_grad()
def bits_per_position(
    context: FloatContextModel, tables: list[np.ndarray], pool: Pool, batch: int = 16
) -> dict[str, float]:
    """Bits that a position of the grid takes on average with tables, and with the context model in integers and float.

    Args:
        context: the context model as trained.
        tables: of each layer, (K,) frequencies.
        pool: planes that neither has seen.
        batch: crops at a time.
    """
    positions = pool.layers[0].numel()
    information = [16 - torch.from_numpy(table.astype(np.float64)).log2() for table in tables]
    costs = zip(information, coded_indices(pool, context.layers), strict=True)
    bits = {"tables": sum(float(cost[indices].sum()) for cost, indices in costs) / positions}
    for name, rounding in (("context", True), ("context_float", False)):
        context.rounding = rounding
        parts = [pool.at(slice(start, start + batch)) for start in range(0, len(pool), batch)]
        bits[name] = sum(float(context.bits(part).sum()) for part in parts) / positions
    context.rounding = True
    return bits


def tables_of(pool: Pool, model: VQGAN | TamingVQGAN) -> list[np.ndarray]:
    """Of each layer, the frequencies (K,) of its indices where positions go on."""
    layers = model.config.layers
    return [
        frequencies(torch.bincount(indices, minlength=layer.codebook_size).numpy() + PRIOR)
        for layer, indices in zip(layers, coded_indices(pool, layers), strict=True)
    ]


def base_tables(pool: Pool) -> np.ndarray | None:
    """Frequencies that the base is coded with, learned from that of a pool and from plain ramps."""
    if pool.base is None or pool.steps is None:
        return None
    counts = np.full((PLANES, CONTEXTS, ALPHABET), _BASE_PRIOR)
    for base, step in zip(pool.base.numpy(), pool.steps.tolist(), strict=True):
        counts += count(base, step)
    # Photographs hold few surfaces that are smooth without noise, which all should be cheap.
    for ramp in _ramps():
        counts += 0.02 * len(pool) / _RAMPS * count(ramp, 1)
    return frequencies(counts)


_RAMPS = 64


def _ramps() -> list[np.ndarray]:
    """Bases of ramps in all directions and of many slopes, in steps of one level."""
    rng = np.random.default_rng(0)
    row, column = np.indices((16, 16)) - 7.5
    found = []
    for _ in range(_RAMPS):
        angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 6)
        along = slope * (np.cos(angle) * column + np.sin(angle) * row)
        colour = rng.uniform(-1, 1, 3) * (1, 0.5, 0.5)
        levels = np.array([128.0, 0, 0])[:, None, None] + colour[:, None, None] * along
        found.append(quantized(levels.astype(np.float32), 1))
    return found


@torch.no_grad()
def order_codewords(model: VQGAN | TamingVQGAN) -> None:
    """Sort every codebook so that each group of the context model holds neighbours, codeword 0 in its place.

    The context model codes an index as group and member; groups of like codewords are easier to foresee.
    """
    if isinstance(model, TamingVQGAN):
        model.quantizer.reorder(ordered(model.quantizer.codebooks[0]))
        return
    for quantizer in model.quantizers:
        for stage, codebook in enumerate(quantizer.codebooks):
            quantizer.reorder(stage, ordered(codebook))


def ordered(codebook: Tensor) -> Tensor:
    """The order (K,) int64 of codewords (K, D) in which groups hold neighbours; the first stays the first."""
    groups, _ = split(len(codebook))
    order = torch.cat(_parted(codebook, torch.arange(len(codebook)), groups)).view(groups, -1)
    home = int((order == 0).any(1).nonzero())
    order = order.roll(-home, 0)
    first = order[0]
    order[0] = torch.cat([first[first == 0], first[first != 0]])
    return order.flatten()


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
