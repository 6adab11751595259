"""Scores of a model in training, and the decoding loops they need."""
