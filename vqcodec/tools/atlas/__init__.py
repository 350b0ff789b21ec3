"""HTML page that shows the codebooks of a model, and how pictures use them."""
