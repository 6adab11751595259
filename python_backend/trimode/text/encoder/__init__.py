"""Encoding with the tokenizers of strangers: which are harmless, and the process in which the others work."""
