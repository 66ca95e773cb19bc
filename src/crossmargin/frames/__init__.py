"""Floor 2: columns for markets and books, and the door between exact and float."""
