"""Weights as the engine stores them: rounded, packed, written to one file."""
