"""The networks: encoder, vector quantizer, generator. Plain modules, no losses, no optimisers.

There are two families behind one interface: `VQGAN` of this project, and `TamingVQGAN` for imported models.
A model has a `config` with `stages`, `codebook_size`, `latent_dim` and `downsampling`, `encode`, a `quantizer`,
`decode` and the buffer `latent_rms`; it says how it is stored (`family`, `stored_as`) and how it
is run (`memory_format`, `window_area`, `halo`, `blends`).
"""

from vqcodec.model.config import ModelConfig
from vqcodec.model.encoder import Encoder
from vqcodec.model.generator import Generator
from vqcodec.model.quantizer import ResidualVectorQuantizer
from vqcodec.model.taming import TamingConfig, TamingVQGAN
from vqcodec.model.vqgan import VQGAN

__all__ = [
    "FAMILIES",
    "VQGAN",
    "Encoder",
    "Generator",
    "ModelConfig",
    "ResidualVectorQuantizer",
    "TamingConfig",
    "TamingVQGAN",
]

FAMILIES = {VQGAN.family: (VQGAN, ModelConfig), TamingVQGAN.family: (TamingVQGAN, TamingConfig)}
"""Model class and configuration class by the family that a model file names."""
