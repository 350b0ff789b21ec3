"""Import of VQGAN checkpoints in the layout of CompVis/taming-transformers."""
