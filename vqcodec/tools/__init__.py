"""Commands around a model: a page of its codebooks, and the import of published ones."""
