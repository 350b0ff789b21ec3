"""A page that shows the codebooks of a model, and what a picture uses of them."""
