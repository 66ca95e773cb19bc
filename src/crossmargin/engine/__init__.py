"""Floor 6: commands, decisions, and the one mutable object."""
