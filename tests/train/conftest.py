from random import Random

import pytest
import torch
from trimode_train.data.tasks import TASKS
from trimode_train.data.tokenizer import train_tokenizer
from trimode_train.model.config import ModelConfig
from trimode_train.model.model import Model

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
def tokenizer():
    rng = Random(0)
    texts = (task.make(rng).answer for task in TASKS.values() for _ in range(50))
    return train_tokenizer(texts, vocab_size=512)


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    model = Model(tiny_config).eval()
    for parameter in model.parameters():  # away from the small initial values, so that attention matters
        if parameter.dim() == 2:
            parameter.data *= 5
    return model
