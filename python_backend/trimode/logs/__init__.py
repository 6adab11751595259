"""How lines of the log look, which are written, and which request each is of. Needs the standard library alone."""
