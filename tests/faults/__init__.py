"""Faults on purpose: what is hurt, answered meanwhile, left behind, and how long until it served again."""
