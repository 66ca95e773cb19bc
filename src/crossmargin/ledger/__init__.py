"""Floor 2: facts with exact amounts, the journal that chains them, and the one way to apply them."""
