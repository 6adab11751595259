"""An adapter whose weights do something, and prompts of a tiny model."""

from __future__ import annotations

from random import Random

import torch
from trimode_train.model import lora
from trimode_train.model.model import Model


def randomise(model: Model) -> None:
    torch.manual_seed(1)
    for parameter in lora.weights(model).values():
        parameter.data = torch.randn_like(parameter) * 0.5


def prompt(seed: int = 3, length: int = 12) -> list[int]:
    rng = Random(seed)
    return [rng.randrange(128, 512) for _ in range(length)]
