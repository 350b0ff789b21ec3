"""Index planes to bits and back: the integer context model, and the coders that use its frequencies."""
