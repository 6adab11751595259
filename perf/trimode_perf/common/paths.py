"""Where things lie in the repository."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
PERF = PROJECT / "perf"
RESULTS = PERF / "results"
WORK = PERF / "out"
NANO = PROJECT / "checkpoints" / "nano"
MODEL_YAML = PROJECT / "model_repository" / "nemotron_diffusion" / "model.yaml"
