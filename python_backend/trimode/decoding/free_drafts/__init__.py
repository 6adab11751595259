"""Drafts that no pass makes: what may come next by a text that is expected, or by what was written before."""
