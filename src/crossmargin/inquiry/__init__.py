"""Floor 5: what a trader asks, for any method."""
