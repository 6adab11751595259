"""Plain Llama-family folders: keys and defaults, the mask and the end, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.bundle.manifest import DRAFTING_MODES
from trimode.errors import CheckpointError
from trimode_convert.bundle.onnx_bundle import BundleOptions, make_draft
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.config import Rope
from trimode_convert.checkpoint.llama_layout import ARCHITECTURES
from trimode_convert.checkpoint.shards import INDEX, SINGLE

from tests.support import checkpoints as official
from tests.support import llama_checkpoints as factory

YARN = {
    "type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 128, "beta_fast": 32.0,
    "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
    "max_position_embeddings": 512,
}  # fmt: skip
UP = "encoder.layers.1.mlp.up_proj.weight"


def opened(folder: Path, **changes: Any) -> Checkpoint:
    return Checkpoint.open(factory.write_llama(folder, factory.settings(**changes)))


def refuses(folder: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(folder)


@pytest.mark.parametrize("shards", [1, 3])
def test_tensors_have_their_official_names(tmp_path: Path, shards: int) -> None:
    arrays = factory.tensors()
    with Checkpoint.open(factory.write_llama(tmp_path, arrays=arrays, shards=shards)) as checkpoint:
        assert (tmp_path / (SINGLE if shards == 1 else INDEX)).is_file()
        assert set(checkpoint.tensors) == set(arrays)
        np.testing.assert_array_equal(checkpoint.tensors[UP].read(), arrays[UP])
        assert not checkpoint.config.denoises


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_each_model_type_is_read(tmp_path: Path, kind: str) -> None:
    rope = YARN if kind == "ministral3" else None
    changes = {"model_type": kind, "architectures": [ARCHITECTURES[kind]], "rope_parameters": rope}
    with opened(tmp_path, **changes) as checkpoint:
        expected = "yarn" if rope else "default"
        assert (checkpoint.config.rope.kind, checkpoint.config.rope.query_scale_beta) == (expected, 0.1 if rope else 0)


def test_keys_that_may_be_missing_have_transformers_defaults(tmp_path: Path) -> None:
    changes = dict.fromkeys(("head_dim", "num_key_value_heads", "rope_theta", "tie_word_embeddings", "bos_token_id"))
    arrays = factory.tensors()
    for name, values in arrays.items():
        if "k_proj" in name or "v_proj" in name:
            arrays[name] = np.concatenate([values, values])
    with Checkpoint.open(factory.write_llama(tmp_path, factory.settings(**changes), arrays)) as checkpoint:
        config = checkpoint.config
        assert (config.head_dim, config.num_kv_heads, config.tied) == (16, 4, False)
        assert (config.rope, config.bos_token_id) == (Rope("default", 1e4), None)


def test_rope_parameters_of_version_5_are_read(tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": 5e5}
    with opened(tmp_path, rope_theta=None, rope_parameters=rope) as checkpoint:
        assert checkpoint.config.rope == Rope("default", 5e5)


def test_a_tied_head_need_not_be_stored(tmp_path: Path) -> None:
    arrays = factory.tensors()
    del arrays["diffusion_head.weight"]
    with Checkpoint.open(
        factory.write_llama(tmp_path, factory.settings(tie_word_embeddings=True), arrays)
    ) as checkpoint:
        np.testing.assert_array_equal(checkpoint.head.read(), arrays["encoder.embed_tokens.weight"])


def test_the_mask_is_a_special_token_without_a_use(tmp_path: Path) -> None:
    with opened(tmp_path) as checkpoint:
        assert checkpoint.config.mask_token_id == factory.SPARE


def test_a_token_of_the_chat_template_is_no_mask(tmp_path: Path) -> None:
    folder = factory.write_llama(tmp_path)
    factory.write_tokenizer(folder, template=f"{factory.TEMPLATE}<spare>")
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.config.mask_token_id == 0  # <|endoftext|>, which nothing names
    config = json.loads((folder / "tokenizer_config.json").read_text()) | {"pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    refuses(folder, "mask_token_id: .* has no special token without a use")


def test_without_a_tokenizer_the_mask_must_be_named(tmp_path: Path) -> None:
    folder = factory.write_llama(tmp_path)
    (folder / "tokenizer.json").unlink()
    refuses(folder, "mask_token_id: the key is missing, and there is no tokenizer")
    (folder / "config.json").write_text(json.dumps(factory.settings(mask_token_id=7)))
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.config.mask_token_id == 7


def test_of_several_ends_the_tokenizers_own_is_taken(tmp_path: Path) -> None:
    with opened(tmp_path, eos_token_id=[0, factory.END]) as checkpoint:
        assert checkpoint.config.eos_token_id == factory.END
    with opened(tmp_path, eos_token_id=[0, 1]) as checkpoint:
        assert checkpoint.config.eos_token_id == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "qwen2"}, "model_type: expected one of nemotron_labs_diffusion, .*llama, .*, found 'qwen2'"),
        ({"architectures": ["LlamaForSequenceClassification"]}, r"architectures: expected \['LlamaForCausalLM'\]"),
        ({"attention_bias": True}, "attention_bias: expected False, found True"),
        ({"mlp_bias": True}, "mlp_bias: expected False"),
        ({"hidden_act": "gelu"}, "hidden_act: expected 'silu', found 'gelu'"),
        ({"sliding_window": 4096}, "sliding_window: expected None, found 4096"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types: expected 'full_attention' alone"),
        ({"num_local_experts": 8}, "num_local_experts: expected None, found 8"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: expected None"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 8.0}}, "rope_scaling.rope_type: .* found 'longrope'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling.rope_type: .* found 'linear'"),
        ({"rope_scaling": "yarn"}, "rope_scaling: expected an object"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor: expected None, found 0.5"),
        ({"eos_token_id": []}, "eos_token_id: expected a token id"),
        ({"eos_token_id": [999]}, "eos_token_id: expected a token id below"),
        ({"num_key_value_heads": 3}, "num_attention_heads: expected a multiple of 3"),
        ({"model_type": "ministral3", "architectures": ["Ministral3ForCausalLM"]}, "rope_parameters: the key is miss"),
    ],
)
def test_what_the_graph_does_not_implement_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    refuses(factory.write_llama(tmp_path, factory.settings(**changes)), rf"config\.json: {message}")


def test_a_tensor_is_named_as_the_file_names_it(tmp_path: Path) -> None:
    arrays = factory.tensors()
    arrays["encoder.layers.0.self_attn.q_proj.bias"] = np.zeros(64, np.float32)
    refuses(factory.write_llama(tmp_path, arrays=arrays), r"tensor model\.layers\.0\.self_attn\.q_proj\.bias: unknown")
    del arrays["encoder.layers.0.self_attn.q_proj.bias"], arrays[UP]
    refuses(factory.write_llama(tmp_path, arrays=arrays), r"tensor model\.layers\.1\.mlp\.up_proj\.weight: expected")


def test_a_stored_buffer_of_old_checkpoints_is_left_out(tmp_path: Path) -> None:
    arrays = factory.tensors()
    arrays["encoder.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(8, np.float32)
    with Checkpoint.open(factory.write_llama(tmp_path, arrays=arrays)) as checkpoint:
        assert set(checkpoint.tensors) == set(factory.tensors())


def test_an_adapter_without_a_masks_embedding_belongs_to_the_official_layout_alone(tmp_path: Path) -> None:
    folder = factory.write_llama(tmp_path)
    (folder / "linear_spec_lora").mkdir()
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.adapter is None


def test_an_adapter_with_a_masks_embedding_lets_the_model_draft(tmp_path: Path) -> None:
    folder = factory.write_llama(tmp_path)
    official.write_adapter(folder / "linear_spec_lora", factory.settings(), 4, mask=factory.SPARE)
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.adapter is not None and checkpoint.adapter.mask is not None
        assert checkpoint.config.block_size == 16 and not checkpoint.config.denoises
        draft = make_draft(checkpoint, BundleOptions())
        assert draft.manifest.modes == DRAFTING_MODES and draft.manifest.adapter


def test_a_trained_embedding_of_another_token_is_refused(tmp_path: Path) -> None:
    folder = factory.write_llama(tmp_path)
    official.write_adapter(folder / "linear_spec_lora", factory.settings(), 4, mask=factory.SPARE + 1)
    with pytest.raises(CheckpointError, match=r"trainable_token_indices: expected .*the mask alone"):
        Checkpoint.open(folder)


LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip


def test_llama_3_divides_the_frequencies_of_slow_pairs(tmp_path: Path) -> None:
    with opened(tmp_path, rope_theta=5e5, rope_scaling=LLAMA3, head_dim=None) as checkpoint:
        divisors = checkpoint.config.rope.divisors
    turns = [8192 * 5e5 ** (-2 * pair / 16) / (2 * np.pi) for pair in range(8)]
    assert [divisors[pair] for pair in range(8) if turns[pair] > 4] == [1.0] * sum(one > 4 for one in turns)
    assert [divisors[pair] for pair in range(8) if turns[pair] < 1] == [8.0] * sum(one < 1 for one in turns)
    between = next(pair for pair in range(8) if 1 < turns[pair] < 4)
    share = (turns[between] - 1) / 3
    assert divisors[between] == pytest.approx(1 / ((1 - share) / 8 + share))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factor": None}, "rope_scaling.factor: expected a positive number"),
        ({"high_freq_factor": 1.0}, "rope_scaling.high_freq_factor: expected above low_freq_factor = 1"),
        ({"mscale": 1.0}, "rope_scaling.mscale: expected no such key"),
    ],
)
def test_a_scaling_of_llama_3_that_is_not_whole_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    refuses(factory.write_llama(tmp_path, factory.settings(rope_scaling=LLAMA3 | change)), message)
