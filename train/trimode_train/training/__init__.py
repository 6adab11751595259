"""The training loop: objective, optimiser, report."""
