"""config.json: what is required, what is refused, and that nothing is derived that the file states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode.errors import CheckpointError
from trimode_convert.checkpoint.config import ModelConfig

from tests.support import checkpoints as factory


def load(folder: Path, settings: Any) -> ModelConfig:
    (folder / "config.json").write_text(json.dumps(settings))
    return ModelConfig.load(folder)


def test_head_dim_is_the_files_own(tmp_path: Path) -> None:
    config = load(tmp_path, factory.config(hidden_size=24, head_dim=8, num_attention_heads=4))
    assert (config.query_width, config.hidden_size) == (32, 24)


REQUIRED = [
    "model_type", "architectures", "hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads",
    "num_key_value_heads", "head_dim", "vocab_size", "rms_norm_eps", "hidden_act", "max_position_embeddings",
    "tie_word_embeddings", "block_size", "mask_token_id", "eos_token_id", "rope_parameters",
]  # fmt: skip


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_key_is_named(tmp_path: Path, name: str) -> None:
    settings = factory.config()
    del settings[name]
    with pytest.raises(CheckpointError, match=name):
        load(tmp_path, settings)


@pytest.mark.parametrize("name", ["rope_type", "rope_theta", "factor", "original_max_position_embeddings"])
def test_missing_rope_key_is_named(tmp_path: Path, name: str) -> None:
    settings = factory.config()
    del settings["rope_parameters"][name]
    with pytest.raises(CheckpointError, match=f"rope_parameters.{name}: the key is missing"):
        load(tmp_path, settings)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("model_type", "nemotron_h", "one of nemotron_labs_diffusion, nemotron_labs_diffusion_vlm"),
        ("architectures", ["LlamaForCausalLM"], "NemotronLabsDiffusionModel"),
        ("hidden_act", "gelu", "'silu'"),
        ("rope_rope_type", "longrope", "'default' or 'yarn'"),
        ("rope_type", "linear", "'yarn'"),
        ("rope_partial_rotary_factor", 0.5, "unknown keys"),
        ("rope_scaling_beta", 0.5, "unknown keys"),
        ("attention_bias", True, "False"),
        ("mlp_bias", True, "False"),
        ("sliding_window", 4096, "None"),
        ("quantization_config", {"bits": 8}, "None"),
        ("dlm_paradigm", "masked", "'bidirectional'"),
        ("dlm_type", "dream", "unshifted logits"),
        ("hidden_size", 0, "a positive integer"),
        ("hidden_size", "24", "a positive integer"),
        ("hidden_size", True, "a positive integer"),
        ("head_dim", 7, "an even number"),
        ("num_attention_heads", 3, "a multiple of 2"),
        ("rms_norm_eps", 0, "a positive number"),
        ("rope_rope_theta", -1, "a positive number"),
        ("eos_token_id", [2, 11], "a token id below 50"),
        ("mask_token_id", 50, "a token id below 50"),
        ("mask_token_id", -1, "a token id below 50"),
        ("tie_word_embeddings", None, "true or false"),
        ("rope_parameters", None, "an object"),
    ],
)
def test_value_that_is_not_implemented_is_refused(tmp_path: Path, name: str, value: Any, expected: str) -> None:
    with pytest.raises(CheckpointError, match=expected):
        load(tmp_path, factory.config(**{name: value}))


def test_rope_scaling_that_contradicts_is_refused(tmp_path: Path) -> None:
    settings = factory.config()
    settings["rope_scaling"] = {"rope_type": "linear"}
    with pytest.raises(CheckpointError, match="rope_scaling: expected the same as rope_parameters"):
        load(tmp_path, settings)


def test_bos_may_be_absent(tmp_path: Path) -> None:
    settings = factory.config()
    del settings["bos_token_id"]
    assert load(tmp_path, settings).bos_token_id is None


def test_config_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: is not JSON"):
        ModelConfig.load(tmp_path)


def test_missing_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read: No such file"):
        ModelConfig.load(tmp_path)
