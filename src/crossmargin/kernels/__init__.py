"""Floor 1: compiled arithmetic on arrays. Knows arrays only."""
