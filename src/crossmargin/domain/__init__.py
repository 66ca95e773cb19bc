"""Floor 1: what can be held and on which terms. Knows no price, no array and no file."""
