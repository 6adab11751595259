"""Grammars: what an answer's text must match, and which tokens may come next. Knows no mode, engine or request."""
