"""Floor 9: programs that parse, hand over, answer and show."""
