"""One tiny Llama model as three checkpoints: official layout, Llama layout of Hugging Face, GGUF; and its tokenizer.

The weights are numbers that float16 has, so that every way of storing them, but for the quantised ones, is exact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

from tests.support import checkpoints as official

Arrays = dict[str, NDArray[Any]]

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<spare>"]
END, SPARE = 2, 3
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = ["h e", "l l", "he ll", "Ġ w", "o r", "Ġw or", "1 2"]
TOKENS = [*SPECIAL, *BYTES, *(merge.replace(" ", "") for merge in MERGES)]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HIDDEN, HEADS, KV_HEADS, HEAD_DIM, INNER, LAYERS = 64, 4, 2, 16, 96, 2
GGUF_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def settings(**changes: Any) -> dict[str, Any]:
    """config.json of the Llama layout, with changes; None takes a key away."""
    made: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INNER,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "vocab_size": len(TOKENS),
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "eos_token_id": END,
        "bos_token_id": 1,
        "rope_theta": 1e4,
        "rope_scaling": None,
    }
    made |= changes
    return {key: value for key, value in made.items() if value is not None}


def official_settings() -> dict[str, Any]:
    """config.json of the same model in the official layout."""
    rope = {"rope_type": "default", "rope_theta": 1e4}
    own = {key: value for key, value in settings().items() if not key.startswith("rope")}
    names = {key: official.config()[key] for key in ("architectures", "model_type", "attention_bias", "mlp_bias")}
    return {**own, **names, "rope_parameters": rope, "block_size": 32, "mask_token_id": SPARE}


def tensors(seed: int = 0) -> Arrays:
    """The weights by their official names."""
    made = official.tensors(official_settings(), seed)
    return {name: values.astype(np.float16).astype(np.float32) for name, values in made.items()}


def renamed(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """The weights by Hugging Face's names for Llama."""
    return {
        name.replace("encoder.", "model.").replace("diffusion_head.", "lm_head."): values
        for name, values in arrays.items()
    }


def write_tokenizer(folder: Path, *, template: str = TEMPLATE) -> None:
    """Write tokenizer.json and tokenizer_config.json as transformers does."""
    added = [
        {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        | {"special": True}
        for number, text in enumerate(SPECIAL)
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    steps = [{"type": "Digits", "individual_digits": True}, byte_level]
    model = {
        "type": "BPE", "vocab": {text: number for number, text in enumerate(TOKENS)},
        "merges": [merge.split(" ") for merge in MERGES],
    }  # fmt: skip
    made = {
        "version": "1.0", "added_tokens": added, "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": byte_level, "model": model,
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(made))
    config = {"eos_token": "<|im_end|>", "bos_token": {"content": "<|im_start|>"}, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_official(folder: Path, arrays: Arrays | None = None) -> Path:
    """Write the official layout, with the tokenizer."""
    official.write(folder, official_settings(), tensors() if arrays is None else arrays)
    write_tokenizer(folder)
    return folder


def write_llama(
    folder: Path, config: Mapping[str, Any] | None = None, arrays: Arrays | None = None, *, shards: int = 1
) -> Path:
    """Write the Llama layout, with the tokenizer."""
    arrays = tensors() if arrays is None else arrays
    official.write(folder, settings() if config is None else config, renamed(arrays), shards=shards)
    write_tokenizer(folder)
    return folder


def write_gguf(
    path: Path,
    arrays: Arrays | None = None,
    *,
    kind: str = "F16",
    architecture: str = "llama",
    extra: Mapping[str, Any] | None = None,
    more: Mapping[str, NDArray[Any]] | None = None,
    heads: tuple[int, int] = (HEADS, KV_HEADS),
) -> Path:
    """Write a GGUF file as llama.cpp's conversion does; norms stay F32.

    Args:
        kind: the type of the matrices.
        extra: metadata in addition, or None for a key to be left out.
        more: tensors in addition.
        heads: of queries, and of keys.
    """
    arrays = tensors() if arrays is None else arrays
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in (metadata() | dict(extra or {})).items():
        if value is not None:
            _add(writer, name, value)
    for name, values in arrays.items():
        _add_tensor(writer, gguf_name(name), permuted(name, values, heads), kind)
    for name, values in (more or {}).items():
        _add_tensor(writer, name, values, "F32")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def metadata() -> dict[str, Any]:
    """The metadata of the model as GGUF."""
    return {
        "llama.block_count": LAYERS,
        "llama.context_length": 512,
        "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 1e4,
        "llama.rope.dimension_count": HEAD_DIM,
        "llama.vocab_size": len(TOKENS),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)),
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": END,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.chat_template": TEMPLATE,
    }


def permuted(name: str, values: NDArray[Any], heads: tuple[int, int] = (HEADS, KV_HEADS)) -> NDArray[Any]:
    """A matrix as llama.cpp stores it: rows of a query or key head in pairs, not in halves."""
    count = heads[0] if "q_proj" in name else heads[1] if "k_proj" in name else 0
    if not count:
        return values
    return values.reshape(count, 2, len(values) // count // 2, -1).swapaxes(1, 2).reshape(values.shape)


def gguf_name(name: str) -> str:
    """The name of a tensor in GGUF."""
    whole = {
        "encoder.embed_tokens.weight": "token_embd.weight", "encoder.norm.weight": "output_norm.weight",
        "diffusion_head.weight": "output.weight",
    }  # fmt: skip
    if name in whole:
        return whole[name]
    layer, _, rest = name.removeprefix("encoder.layers.").partition(".")
    return f"blk.{layer}.{GGUF_NAMES[rest.removesuffix('.weight')]}.weight"


def _add(writer: gguf.GGUFWriter, name: str, value: Any) -> None:
    if name == "general.architecture" or name.startswith("GGUF."):
        return  # the writer's own
    if isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, int):
        writer.add_uint32(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    elif isinstance(value, str):
        writer.add_string(name, value)
    else:
        assert isinstance(value, Sequence)
        writer.add_array(name, value)


def _add_tensor(writer: gguf.GGUFWriter, name: str, values: NDArray[Any], kind: str) -> None:
    wanted = gguf.GGMLQuantizationType[kind if values.ndim == 2 else "F32"]
    values = np.ascontiguousarray(values, np.float32)
    if wanted in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16):
        writer.add_tensor(name, values.astype(np.float16 if wanted.name == "F16" else np.float32))
    else:
        writer.add_tensor(name, gguf.quantize(values, wanted), raw_dtype=wanted)
