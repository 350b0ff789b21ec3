"""The networks: encoder, vector quantizer and generator, as plain modules without losses or optimisers.

There are two families: `VQGAN` of this project, and `TamingVQGAN` for imported models. Both have:

- `config`, from `vqcodec.config`;
- `analyse` (picture to latents), `quantizers` or `quantizer`, and `synthesise` (latents to picture);
- the buffer `latent_rms`;
- `stored_as`, the dtype of its weights in model files, and `memory_format`, in which they run fastest.

Coding needs none of this but the weights: `vqcodec.codebooks` chooses the indices. `vqcodec.runtime` runs the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from vqcodec.config import ModelConfig, TamingConfig
from vqcodec.forks import settle
from vqcodec.model.encoder import Encoder
from vqcodec.model.generator import Generator
from vqcodec.model.plain import PlainQuantizer
from vqcodec.model.quantizer import BandQuantizer
from vqcodec.model.taming import TamingVQGAN
from vqcodec.model.vqgan import VQGAN

__all__ = [
    "NETWORKS",
    "VQGAN",
    "BandQuantizer",
    "Encoder",
    "Generator",
    "ModelConfig",
    "PlainQuantizer",
    "TamingConfig",
    "TamingVQGAN",
    "network",
]

NETWORKS: dict[str, Callable[..., VQGAN | TamingVQGAN]] = {
    ModelConfig.family: VQGAN,
    TamingConfig.family: TamingVQGAN,
}
"""Network of each family, by the name that model files use."""


def network(config: ModelConfig | TamingConfig, weights: Mapping[str, np.ndarray]) -> VQGAN | TamingVQGAN:
    """Build a network in float32, in evaluation mode, that needs no gradients.

    Args:
        config: its configuration.
        weights: of its state by name.

    Raises:
        ValueError: the weights are not of such a network.
    """
    settle()
    # The weights are replaced at once, so skip their initialisation. A meta device would skip it too, but importing
    # what that needs takes seconds.
    with SkipInitialisation():
        model = NETWORKS[config.family](config)
    state = {name: torch.from_numpy(value.astype(np.float32)) for name, value in weights.items()}
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return model.eval().requires_grad_(False)


class SkipInitialisation(TorchFunctionMode):
    """Context in which modules are built with uninitialised weights. Load all weights afterwards."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
