"""Floor 0: errors, exact integers, array aliases. Imports nothing of ours."""
