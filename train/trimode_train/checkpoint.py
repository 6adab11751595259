"""A checkpoint folder read back as a model, to be measured or trained further."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file

from trimode_train.config import ModelConfig
from trimode_train.model import Model


def load_model(folder: Path) -> Model:
    """A checkpoint's weights, rounded to BF16 as stored, computing in float32."""
    model = Model(ModelConfig.from_official(json.loads((folder / "config.json").read_text())))
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    return model.eval()
