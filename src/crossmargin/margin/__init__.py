"""Floor 3: one quantity each, from valuation to explanation."""
