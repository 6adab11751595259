"""Measurements of this project: speed, quality, editing, peers, GPU, conversion. Imports nothing."""
