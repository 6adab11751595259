"""Fixtures of the tests of train: a tiny model, its tokenizer, and trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from tokenizers import Tokenizer
from trimode_train.data.corpus import Corpus
from trimode_train.data.packing import NoiseOptions
from trimode_train.data.recipe import DataOptions, Recipe
from trimode_train.data.tasks import TASKS
from trimode_train.data.tokenizer import train_tokenizer
from trimode_train.model.config import ModelConfig
from trimode_train.model.model import Model
from trimode_train.training.report import Reporter
from trimode_train.training.trainer import Trainer

from tests.support.still_clock import StillClock

torch.set_num_threads(1)  # the models are tiny: further threads only wait for each other


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    return ModelConfig(
        vocab_size=512,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        max_position_embeddings=512,
    )


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    rng = Random(0)
    texts = (task.make(rng).answer for task in TASKS.values() for _ in range(50))
    return train_tokenizer(texts, vocab_size=512)


@pytest.fixture
def model(tiny_config: ModelConfig) -> Model:
    torch.manual_seed(0)
    model = Model(tiny_config).eval()
    for parameter in model.parameters():  # away from the small initial values, so that attention matters
        if parameter.dim() == 2:
            parameter.data *= 5
    return model


@pytest.fixture
def make_trainer(tiny_config: ModelConfig, tokenizer: Tokenizer, tmp_path: Path) -> Callable[..., Trainer]:
    def make(name: str, noise: NoiseOptions = NoiseOptions()) -> Trainer:  # noqa: B008
        recipe = Recipe(
            "tiny",
            noise=noise,
            compile=False,
            bfloat16=False,
            model=tiny_config,
            data=DataOptions(code_share=0, prose_share=0, rows=4),
        )
        (tmp_path / name).mkdir(exist_ok=True)
        return Trainer(recipe, Corpus(tokenizer, recipe.data), StillClock(), tmp_path / name, Reporter(None))

    return make
