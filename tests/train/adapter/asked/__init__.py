"""Prompts: their kinds, what they are about, and which are held out."""
