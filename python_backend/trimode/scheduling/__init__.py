"""Continuous batching: jobs in, engine calls, chunks out."""
