"""Floor 7: fits and proposals from data; nothing here adopts anything."""
