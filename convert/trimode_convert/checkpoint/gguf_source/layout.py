"""A GGUF file of llama.cpp's architecture `llama`, which Llama and Mistral checkpoints have: keys and tensor names.

The rows of q and k are stored for pairwise rotation and are read back as halves. A key that changes the arithmetic and
that the graph does not implement is refused. Source: gguf's constants, llama.cpp's conversion of LlamaModel.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from trimode.bundle.manifest import TOKENIZER
from trimode.errors import CheckpointError

from ..config import ModelConfig, Rope, check_heads
from ..keys import Keys
from ..llama_layout import BLOCK_SIZE, DEFAULT_THETA
from ..source import Source
from ..special_tokens import unused_special
from ..tensor_file import Tensor, TensorFile
from .file import GgufTensor, open_gguf
from .tokenizer import check_tokenizer, side_files, token_table, tokenizer_json

ARCHITECTURE = "llama"
NAMES = {
    "token_embd": "encoder.embed_tokens",
    "output_norm": "encoder.norm",
    "output": "diffusion_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Names in the file -> official names, both without layer and suffix."""
BACK = {official: name for name, official in NAMES.items()}
DIVISORS = "rope_freqs.weight"  # the scaling of Llama 3, as a divisor for each pair of channels
READ = {
    *("block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size"),
    *("attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon"),
    *("attention.key_length", "attention.value_length", "rope.dimension_count", "rope.freq_base"),
}
"""Keys of the architecture that are read, without `llama.`."""
MUST_BE: dict[str, tuple[Any, ...]] = {
    "rope.scaling.type": ("none",),
    "rope.scaling.factor": (1.0, 0.0),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "attention.causal": (True,),
    "tensor_data_layout": ("Meta AI original pth",),
}
"""Keys that may be there with the only values that the graph implements. Any other key is refused."""


def read(path: Path, files: list[TensorFile]) -> Source:
    """Read a GGUF file; it is appended to `files`, also before an error.

    Raises:
        CheckpointError: missing, broken, of another architecture, or of a form that the graph does not implement.
    """
    file = open_gguf(path)
    files.append(file)
    keys = Keys(path, file.metadata)
    if (found := keys.get("general.architecture")) != ARCHITECTURE:
        raise keys.error("general.architecture", repr(ARCHITECTURE), found)
    config = _config(keys, tied="output.weight" not in file.tensors)
    if (divisors := file.tensors.pop(DIVISORS, None)) is not None:
        if divisors.shape != (config.head_dim // 2,):
            shapes = f"expected shape {[config.head_dim // 2]}, found {list(divisors.shape)}"
            raise CheckpointError(f"{path}: tensor {DIVISORS}: {shapes}")
        rope = dataclasses.replace(config.rope, divisors=tuple(divisors.read().tolist()))
        config = dataclasses.replace(config, rope=rope)
    tensors = {_official(name): _turned(tensor, config) for name, tensor in file.tensors.items()}
    beside = path.parent / TOKENIZER
    made = side_files(keys)
    if beside.is_file():
        check_tokenizer(keys, Keys.load(beside))
    else:
        made[TOKENIZER] = tokenizer_json(keys)
    origin = f"architecture {ARCHITECTURE}"
    return Source(path.stem, path.parent, config, tensors, origin=origin, spelled=_spelled, side_files=made)


def _official(name: str) -> str:
    """Return the official name of a tensor; its own where there is none."""
    parts = name.split(".")
    if len(parts) == 2 and parts[0] in NAMES:
        return f"{NAMES[parts[0]]}.{parts[1]}"
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in NAMES:
        return f"encoder.layers.{parts[1]}.{NAMES[parts[2]]}.{parts[3]}"
    return name


def _spelled(name: str) -> str:
    """Return a tensor's name in the file."""
    stem, _, suffix = name.rpartition(".")
    if stem.startswith("encoder.layers."):
        layer, _, rest = stem.removeprefix("encoder.layers.").partition(".")
        return f"blk.{layer}.{BACK[rest]}.{suffix}"
    return f"{BACK[stem]}.{suffix}" if stem in BACK else name


def _turned(tensor: Tensor, config: ModelConfig) -> Tensor:
    heads = {"attn_q": config.num_heads, "attn_k": config.num_kv_heads}.get(tensor.name.split(".")[-2])
    return dataclasses.replace(tensor, heads=heads) if heads and isinstance(tensor, GgufTensor) else tensor


def _config(keys: Keys, *, tied: bool) -> ModelConfig:
    own = Keys(keys.path, _of_architecture(keys), f"{ARCHITECTURE}.")
    for name, allowed in MUST_BE.items():
        if own.values.get(name, allowed[0]) not in allowed:
            raise own.error(name, repr(allowed[0]), own.values[name])
    if unknown := sorted(set(own.values) - READ - set(MUST_BE)):
        raise own.error(unknown[0], "no such key", own.values[unknown[0]])
    vocab = len(keys.get("tokenizer.ggml.tokens"))
    heads, hidden = own.count("attention.head_count"), own.count("embedding_length")
    head_dim = own.count("attention.key_length") if "attention.key_length" in own.values else hidden // heads
    for name in ("attention.value_length", "rope.dimension_count"):
        if own.values.get(name, head_dim) != head_dim:
            raise own.error(name, f"{head_dim}, as keys have", own.values[name])
    if own.values.get("vocab_size", vocab) != vocab:
        raise own.error("vocab_size", f"{vocab}, the entries of tokenizer.ggml.tokens", own.values["vocab_size"])
    end = "eot" if "tokenizer.ggml.eot_token_id" in keys.values else "eos"  # the end of a turn, where that is another
    ids = Keys(keys.path, {"vocab_size": vocab, **keys.values})
    eos = ids.token(f"tokenizer.ggml.{end}_token_id")
    config = ModelConfig(
        hidden_size=hidden,
        num_layers=own.count("block_count"),
        intermediate_size=own.count("feed_forward_length"),
        num_heads=heads,
        num_kv_heads=own.count("attention.head_count_kv") if "attention.head_count_kv" in own.values else heads,
        head_dim=head_dim,
        vocab_size=vocab,
        norm_epsilon=own.number("attention.layer_norm_rms_epsilon"),
        max_positions=own.count("context_length"),
        block_size=BLOCK_SIZE,
        mask_token_id=_mask(keys, eos, vocab),
        eos_token_id=eos,
        bos_token_id=keys.values.get("tokenizer.ggml.bos_token_id"),
        tied=tied,
        rope=Rope("default", own.number("rope.freq_base", DEFAULT_THETA)),
        denoises=False,
    )
    check_heads(own, config)
    return config


def _of_architecture(keys: Keys) -> dict[str, Any]:
    start = f"{ARCHITECTURE}."
    return {name.removeprefix(start): value for name, value in keys.values.items() if name.startswith(start)}


def _mask(keys: Keys, end: int, vocab: int) -> int:
    """Return the id that stands for a mask in the engine's layout, a token that no text has."""
    table = token_table(keys)
    roles = {value for name, value in keys.values.items() if name.endswith("_token_id") and isinstance(value, int)}
    chosen = unused_special(table, {end, *roles}, vocab)
    if chosen is None:
        raise CheckpointError(f"{keys.path}: tokenizer.ggml.token_type: expected a control token without a use")
    return chosen
