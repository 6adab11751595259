"""A checkpoint folder: read as a model, to be measured or trained further, and its JSON files. Knows no training."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from . import shards
from .config import ModelConfig
from .model import EMBEDDING, HEAD, Model

TRAINING = "training.json"
"""A checkpoint's record of how it was trained."""


def write_json(path: Path, value: Any) -> None:
    """Write another file, then rename it: neither a reader nor a crash ever sees half a file."""
    aside = path.with_name(f".{path.name}")
    aside.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(aside, path)


def load_model(folder: Path) -> Model:
    """Load a checkpoint as a model that computes in float32, with the weights rounded to BF16 as stored."""
    model = Model(ModelConfig.from_official(json.loads((folder / "config.json").read_text())))
    tensors = {name: tensor.float() for name, tensor in shards.load(folder).items()}
    if model.config.tied:
        tensors.setdefault(HEAD, tensors[EMBEDDING])
    model.load_state_dict(tensors)
    return model.eval()
