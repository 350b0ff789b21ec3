"""Neural image codec: VQGAN encoder, residual vector quantizer, bit-exact entropy coding, generator."""

__version__ = "0.1.0"
