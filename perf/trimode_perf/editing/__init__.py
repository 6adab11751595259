"""How well gaps are filled, corrupted answers mended and effort spent: counted on held-out text."""
