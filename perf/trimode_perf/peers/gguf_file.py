"""A checkpoint as a GGUF file for llama.cpp: architecture llama, matrices in one type, no tokenizer.

What llama.cpp needs is in its own conversion (ggml-org/llama.cpp, convert_hf_to_gguf.py): rows of query and key heads
in pairs, and `rope_freqs`, by which it divides the plain frequencies: YaRN's blend is written so. Knows no engine.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from trimode_convert.checkpoint.checkpoint import EMBEDDING, FINAL_NORM, HEAD, Checkpoint
from trimode_convert.checkpoint.config import ModelConfig
from trimode_convert.graph.rope import attention_factor, inverse_frequencies

from .peer import PeerError

KINDS = ("F32", "BF16", "Q8_0", "Q4_0")
"""Types of matrices that package gguf can write and llama.cpp computes with on a CPU."""
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {EMBEDDING: "token_embd.weight", FINAL_NORM: "output_norm.weight", HEAD: "output.weight"}


def write(checkpoint: Path, kind: str, out: Path) -> None:
    """Write `checkpoint` as the file `out`, its matrices in `kind`, one of KINDS; norms stay F32.

    Raises:
        PeerError: the checkpoint scales its attention or its queries as architecture llama does not.
    """
    with Checkpoint.open(checkpoint) as opened:
        config = opened.config
        writer = gguf.GGUFWriter(out, "llama")
        _describe(writer, config)
        _add(writer, "rope_freqs.weight", frequency_divisors(config), "F32")
        for name, tensor in opened.tensors.items():
            values = _paired(name, np.asarray(tensor.read(), np.float32), config)
            _add(writer, name_of(name), values, kind if values.ndim == 2 else "F32")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def frequency_divisors(config: ModelConfig) -> NDArray[np.float32]:
    """Return what llama.cpp must divide theta ** (-2 i / head_dim) by  # (head_dim / 2,).

    Raises:
        PeerError: positions also scale the attention or the queries inside the context.
    """
    rope = config.rope
    if attention_factor(rope) != 1.0:
        raise PeerError(f"llama.cpp's llama has no attention factor of {attention_factor(rope):g}")
    if rope.query_scale_beta and config.max_positions > rope.original_length:
        raise PeerError(f"llama.cpp's llama does not scale queries beyond {rope.original_length} positions")
    plain = rope.theta ** (-2.0 * np.arange(config.head_dim // 2) / config.head_dim)
    return (plain / inverse_frequencies(rope, config.head_dim)).astype(np.float32)


def name_of(name: str) -> str:
    """Return GGUF's name of a tensor that has this one in the official layout."""
    if name in WHOLE:
        return WHOLE[name]
    layer, _, rest = name.removeprefix("encoder.layers.").partition(".")
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def _describe(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    writer.add_block_count(config.num_layers)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope.theta)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("none")


def _paired(name: str, values: NDArray[np.float32], config: ModelConfig) -> NDArray[np.float32]:
    """Return a query or key matrix with the rows of a head in pairs, not in halves; another one as it is."""
    heads = config.num_heads if ".q_proj" in name else config.num_kv_heads if ".k_proj" in name else 0
    if not heads:
        return values
    return values.reshape(heads, 2, config.head_dim // 2, -1).swapaxes(1, 2).reshape(values.shape)


def _add(writer: gguf.GGUFWriter, name: str, values: NDArray[np.float32], kind: str) -> None:
    wanted = gguf.GGMLQuantizationType[kind]
    if kind == "F32":
        writer.add_tensor(name, np.ascontiguousarray(values))
    else:
        writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(values), wanted), raw_dtype=wanted)
