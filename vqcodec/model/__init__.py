"""The networks: encoder, vector quantizer and generator, as plain modules without losses or optimisers.

There are two families: `VQGAN` of this project, and `TamingVQGAN` for imported models. Both have:

- `config`, with `stages`, `codebook_size`, `latent_dim` and `downsampling`;
- `analyse` (picture to latents), `quantizer`, and `synthesise` (latents to picture);
- the buffer `latent_rms`;
- `family` and `stored_as`, which say how a model file names and stores the model;
- `memory_format`, `halo` and `blends`, which say how `vqcodec.runtime` runs it.

`VQGAN` also has `strip_area`, for `vqcodec.runtime.strips`. `TamingVQGAN` has `window_area` instead, for
`vqcodec.runtime.windows`.
"""

from __future__ import annotations

from collections.abc import Callable

from vqcodec.model.config import ModelConfig
from vqcodec.model.encoder import Encoder
from vqcodec.model.generator import Generator
from vqcodec.model.plain import PlainQuantizer
from vqcodec.model.quantizer import BandQuantizer
from vqcodec.model.taming import TamingConfig, TamingVQGAN
from vqcodec.model.vqgan import VQGAN

__all__ = [
    "FAMILIES",
    "VQGAN",
    "BandQuantizer",
    "Encoder",
    "Generator",
    "ModelConfig",
    "PlainQuantizer",
    "TamingConfig",
    "TamingVQGAN",
]

FAMILIES: dict[str, tuple[Callable[..., VQGAN | TamingVQGAN], type[ModelConfig | TamingConfig]]] = {
    VQGAN.family: (VQGAN, ModelConfig),
    TamingVQGAN.family: (TamingVQGAN, TamingConfig),
}
"""Model class and configuration class of each family, by the name that model files use."""
