"""The networks: encoder, residual vector quantizer, generator. Plain modules, no losses, no optimisers."""

from vqcodec.model.config import ModelConfig
from vqcodec.model.encoder import Encoder
from vqcodec.model.generator import Generator
from vqcodec.model.quantizer import ResidualVectorQuantizer
from vqcodec.model.vqgan import VQGAN

__all__ = ["VQGAN", "Encoder", "Generator", "ModelConfig", "ResidualVectorQuantizer"]
