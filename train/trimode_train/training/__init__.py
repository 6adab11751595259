"""The training loop: objective, optimiser, time, resumable state, report. Does not know where documents come from."""
