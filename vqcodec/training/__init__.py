"""Training: data, losses, codebook learning, discriminator, trainer. Never imported by the codec."""
