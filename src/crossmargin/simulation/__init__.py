"""Floor 7: generated markets and books from a seed."""
