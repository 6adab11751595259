"""Measurements of this project: speed, quality, editing, peers, GPU. Imports nothing."""
