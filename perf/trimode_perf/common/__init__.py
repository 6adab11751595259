"""What several measurements share, and where things lie. Needs nothing but Python: gpu-check has torch alone."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
PERF = PROJECT / "perf"
RESULTS = PERF / "results"
WORK = PERF / "out"
NANO = PROJECT / "checkpoints" / "nano"
NANO_VLM = PROJECT / "checkpoints" / "nano-vlm"
BUNDLE = PROJECT / "build" / "out" / "nano-float32"
MODEL_YAML = PROJECT / "model_repository" / "nemotron_diffusion" / "model.yaml"
QUESTIONS = PERF / "trimode_perf" / "common" / "questions.jsonl"
"""What a checkpoint is asked that chats; there is no one right answer."""
