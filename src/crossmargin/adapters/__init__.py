"""Floor 7: bytes, files and feeds; the only sockets and the only wall clock."""
