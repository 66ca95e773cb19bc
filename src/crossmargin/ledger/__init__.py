"""Floor 2: facts with exact amounts, the journal that chains them, the one way to apply them."""
