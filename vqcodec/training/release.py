"""From a training run to a model file: averaged weights as float16, frequencies counted on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vqcodec.model import VQGAN, ModelConfig
from vqcodec.model.quantizer import rate_context
from vqcodec.training.data import CropSampler
from vqcodec.weights import frequencies, save_model

# Added to every count, so that a codeword that the sample happened to miss is not priced out.
PRIOR = 0.5


@torch.no_grad()
def count_indices(
    model: VQGAN, crops: CropSampler, lagrangians: Sequence[float], batches: int = 200, seed: int = 1
) -> np.ndarray:
    """How often every codeword is chosen per stage and context, (S, 2, K), on random crops."""
    rng = np.random.default_rng(seed)
    config = model.config
    counts = np.zeros((config.stages, 2, config.codebook_size))
    for number in tqdm(range(batches), desc="counting indices", unit="batch", disable=None):
        pictures = crops.batch(rng, 8, 256).contiguous(memory_format=torch.channels_last)
        latents = model.encode(pictures).permute(0, 2, 3, 1).reshape(-1, config.latent_dim)
        indices = model.quantizer.quantize(latents, lagrangian=lagrangians[number % len(lagrangians)]).indices
        columns = list(indices.unbind(1))
        for stage, column in enumerate(columns):
            flat = rate_context(columns[:stage], len(column)) * config.codebook_size + column
            counts[stage] += np.bincount(flat.numpy(), minlength=2 * config.codebook_size).reshape(2, -1)
    return counts


def release(
    run: Path, out: Path, crops: CropSampler, lagrangians: Sequence[float] = (0.0,), batches: int = 200
) -> bytes:
    """Write the averaged weights of a run as model file and return its model id."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    model = VQGAN(ModelConfig.from_fields(state["config"]["model"]))
    model.load_state_dict(state["average"])
    # What is counted is what the file will hold: weights rounded to float16.
    model.load_state_dict({key: value.half().float() for key, value in model.state_dict().items()})
    tables = frequencies(count_indices(model.eval(), crops, lagrangians, batches) + PRIOR)
    out.parent.mkdir(parents=True, exist_ok=True)
    return save_model(
        out, model, tables, {"steps": str(state["step"]), "hours": f"{state['seconds'] / 3600:.2f}"}
    )
