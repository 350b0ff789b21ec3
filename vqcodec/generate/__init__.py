"""Index planes that no encoder chose: drawn from the context model, or continued from their surroundings."""
