"""GGUF of architecture llama: keys, names, heads, the tokenizer beside it, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.errors import CheckpointError
from trimode_convert.checkpoint.checkpoint import Checkpoint, is_checkpoint
from trimode_convert.checkpoint.config import Rope
from trimode_convert.checkpoint.gguf_source.layout import MUST_BE, READ

from tests.support import llama_checkpoints as factory


def refuses(path: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(path)


def test_tensors_and_dimensions_are_those_of_the_official_layout(tmp_path: Path) -> None:
    arrays = factory.tensors()
    official = Checkpoint.open(factory.write_official(tmp_path / "official", arrays))
    with Checkpoint.open(factory.write_gguf(tmp_path / "m.gguf", arrays)) as checkpoint, official:
        assert checkpoint.name == "m"
        assert set(checkpoint.tensors) == set(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(checkpoint.tensors[name].read(), values, err_msg=name)
        ours, theirs = vars(checkpoint.config) | {"denoises": True}, vars(official.config)
        assert ours.pop("norm_epsilon") == pytest.approx(theirs["norm_epsilon"])
        assert ours == {key: value for key, value in theirs.items() if key != "norm_epsilon"}


def test_a_folder_with_one_file_is_that_file(tmp_path: Path) -> None:
    path = factory.write_gguf(tmp_path / "one" / "m.gguf")
    assert is_checkpoint(path) and is_checkpoint(path.parent)
    with Checkpoint.open(path.parent) as folder, Checkpoint.open(path) as file:
        assert folder.hash() == file.hash()
    factory.write_gguf(path.with_name("n.gguf"))
    assert not is_checkpoint(path.parent)
    refuses(path.parent, r"expected one \*\.gguf file, found 2")
    refuses(tmp_path / "none.gguf", r"none\.gguf: cannot be read")


def test_without_an_output_matrix_the_head_is_tied(tmp_path: Path) -> None:
    arrays = factory.tensors()
    del arrays["diffusion_head.weight"]
    with Checkpoint.open(factory.write_gguf(tmp_path / "m.gguf", arrays)) as checkpoint:
        assert checkpoint.config.tied
        np.testing.assert_array_equal(checkpoint.head.read(), arrays["encoder.embed_tokens.weight"])


def test_keys_that_may_be_missing_have_llama_cpps_defaults(tmp_path: Path) -> None:
    extra = dict.fromkeys(("llama.rope.freq_base", "llama.rope.dimension_count", "llama.vocab_size"))
    with Checkpoint.open(factory.write_gguf(tmp_path / "m.gguf", extra=extra)) as checkpoint:
        assert (checkpoint.config.rope, checkpoint.config.head_dim) == (Rope("default", 1e4), 16)


def test_the_end_of_a_turn_is_the_end_of_an_answer(tmp_path: Path) -> None:
    extra = {"tokenizer.ggml.eot_token_id": 1}
    with Checkpoint.open(factory.write_gguf(tmp_path / "m.gguf", extra=extra)) as checkpoint:
        assert checkpoint.config.eos_token_id == 1


def test_no_key_is_both_read_and_held_to_one_value() -> None:
    assert not READ & set(MUST_BE)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"llama.attention.sliding_window": 4096}, "llama.attention.sliding_window: expected no such key, found 4096"),
        ({"llama.expert_count": 8}, "llama.expert_count: expected 0, found 8"),
        ({"llama.rope.scaling.type": "linear"}, "llama.rope.scaling.type: expected 'none', found 'linear'"),
        ({"llama.rope.dimension_count": 8}, "llama.rope.dimension_count: expected 16"),
        ({"llama.logit_scale": 2.0}, "llama.logit_scale: expected no such key"),
        ({"llama.vocab_size": 7}, "llama.vocab_size: expected .* tokenizer.ggml.tokens, found 7"),
        ({"llama.attention.head_count_kv": [2, 2]}, "llama.attention.head_count_kv: expected a positive integer"),
        ({"llama.block_count": None}, "llama.block_count: the key is missing"),
        ({"tokenizer.ggml.eos_token_id": 9999}, "tokenizer.ggml.eos_token_id: expected a token id below"),
        ({"tokenizer.ggml.tokens": None}, "tokenizer.ggml.tokens: the key is missing"),
        ({"tokenizer.ggml.model": "bert"}, "tokenizer.ggml.model: expected 'gpt2' or 'llama' .or a tokenizer.json"),
        ({"tokenizer.ggml.pre": "viking"}, "tokenizer.ggml.pre: expected one of smollm, .* found 'viking'"),
        (
            {"tokenizer.ggml.token_type": [1] * len(factory.TOKENS)},
            "tokenizer.ggml.token_type: expected a control token without a u",
        ),
        ({"tokenizer.ggml.token_type": [1]}, "tokenizer.ggml.token_type: expected [0-9]+ entries, found 1"),
    ],
)
def test_what_the_graph_does_not_implement_is_refused_by_name(
    tmp_path: Path, extra: dict[str, Any], message: str
) -> None:
    refuses(factory.write_gguf(tmp_path / "m.gguf", extra=extra), rf"m\.gguf: {message}")


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    path = factory.write_gguf(tmp_path / "m.gguf", architecture="qwen2")
    refuses(path, r"general\.architecture: expected 'llama', found 'qwen2'")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blk.0.attn_q.bias", r"tensor blk\.0\.attn_q\.bias: unknown to architecture llama"),
        ("blk.0.ffn_gate_inp.weight", r"tensor blk\.0\.ffn_gate_inp\.weight: unknown"),
        ("blk.2.ffn_norm.weight", r"tensor blk\.2\.ffn_norm\.weight: unknown"),
    ],
)
def test_a_tensor_that_the_graph_lacks_is_refused_by_name(tmp_path: Path, name: str, message: str) -> None:
    refuses(factory.write_gguf(tmp_path / "m.gguf", more={name: np.zeros(64, np.float32)}), message)


def test_a_missing_tensor_has_the_files_own_name(tmp_path: Path) -> None:
    arrays = factory.tensors()
    del arrays["encoder.layers.1.mlp.up_proj.weight"]
    refuses(factory.write_gguf(tmp_path / "m.gguf", arrays), r"tensor blk\.1\.ffn_up\.weight: expected \[96, 64\]")


def test_a_tokenizer_next_to_the_file_is_taken_if_it_is_the_models(tmp_path: Path) -> None:
    path = factory.write_gguf(tmp_path / "m.gguf", extra={"tokenizer.ggml.model": "llama"})
    factory.write_tokenizer(tmp_path)
    with Checkpoint.open(path) as checkpoint:
        assert "tokenizer.json" not in checkpoint.side_files
    text = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(text.replace('"hello"', '"other"').replace('"he"', '"eh"'))
    refuses(path, r"tokenizer\.json: model\.vocab\['he'\]: expected [0-9]+, as in m\.gguf, found None")


def test_the_divisors_of_llama_3_are_read(tmp_path: Path) -> None:
    divisors = np.array([1, 1, 1, 1.5, 2, 4, 8, 8], np.float32)
    with Checkpoint.open(factory.write_gguf(tmp_path / "m.gguf", more={"rope_freqs.weight": divisors})) as checkpoint:
        assert checkpoint.config.rope == Rope("default", 1e4, divisors=tuple(divisors.tolist()))
    refuses(
        factory.write_gguf(tmp_path / "n.gguf", more={"rope_freqs.weight": divisors[:4]}),
        r"rope_freqs\.weight: expected shape \[8\], found \[4\]",
    )
