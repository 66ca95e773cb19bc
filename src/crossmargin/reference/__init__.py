"""Floor 2: the specification as slow plain Python, for tests and auditors only."""
