"""Floor 4: margin parts composed into the rules of one venue."""
