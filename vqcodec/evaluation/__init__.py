"""Codec evaluation: rate, distortion, perceptual distance and realism, for this codec and its peers."""
