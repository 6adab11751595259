"""The port of metrics: passes on what Triton's own, internal port for them gives, and nothing else."""
