"""Floor 5: what is sold of a pool under water, how, and who bears the rest."""
