"""Ratios against what a competent user would write. `python -m benchmarks --help`."""
