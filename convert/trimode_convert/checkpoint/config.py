"""config.json as frozen dataclasses: dimensions, token ids, and how positions rotate.

A key that the graph depends on is required; a value that the graph does not implement is refused, never ignored.
Knows nothing about tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimode.errors import CheckpointError

from .keys import Keys
from .vision_config import VisionConfig

CONFIG = "config.json"
MODEL_TYPE = "nemotron_labs_diffusion"
VLM_MODEL_TYPE = "nemotron_labs_diffusion_vlm"
ARCHITECTURES = {MODEL_TYPE: "NemotronLabsDiffusionModel", VLM_MODEL_TYPE: "NemotronLabsDiffusionVLMModel"}
"""The class that config.json names, by the model's type."""
ROPE_KEYS = {
    "rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "mscale",
    "mscale_all_dim", "attention_factor", "truncate", "llama_4_scaling_beta",
}  # fmt: skip
# Keys that may be missing, each with the only values that the graph implements.
MUST_BE: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "sliding_window": (None,),
    "quantization_config": (None,),
    "dlm_paradigm": ("bidirectional", "autoregressive", "block_diff", None),
}


@dataclass(frozen=True)
class Rope:
    """Rotary positions: "default" or "yarn" (arXiv 2309.00071), and the Llama-4 query scale (0.0 means none).

    `divisors` divide the plain frequencies, one a pair of channels, as Llama 3 scales them; empty means none.
    """

    kind: str
    theta: float
    factor: float = 1.0
    original_length: int = 0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float = 0.0
    mscale_all_dim: float = 0.0
    attention_factor: float | None = None
    truncate: bool = True
    query_scale_beta: float = 0.0
    divisors: tuple[float, ...] = ()


@dataclass(frozen=True)
class ModelConfig:
    """The model's dimensions. `head_dim` is the file's own: hidden_size / heads is wrong for two official sizes."""

    hidden_size: int
    num_layers: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    norm_epsilon: float
    max_positions: int
    block_size: int
    mask_token_id: int
    eos_token_id: int
    bos_token_id: int | None
    tied: bool
    rope: Rope
    denoises: bool = True  # whether the checkpoint was trained to fill masks with both sides in view
    vision: VisionConfig | None = None  # the tower that encodes pictures

    @classmethod
    def load(cls, folder: Path) -> ModelConfig:
        """Read and check `folder`/config.json.

        Raises:
            CheckpointError: unreadable, a key missing, or a value that the graph does not implement.
        """
        keys = Keys.load(folder / CONFIG)
        model_type = keys.get("model_type")
        architectures = keys.get("architectures") or []
        if model_type not in ARCHITECTURES:
            raise keys.error("model_type", f"one of {', '.join(ARCHITECTURES)}", model_type)
        if architectures != [ARCHITECTURES[model_type]]:
            raise keys.error("architectures", repr([ARCHITECTURES[model_type]]), architectures)
        if keys.get("hidden_act") != "silu":
            raise keys.error("hidden_act", "'silu'", keys.get("hidden_act"))
        for name, allowed in MUST_BE.items():
            if keys.values.get(name) not in allowed:
                raise keys.error(name, repr(allowed[0]), keys.values[name])
        if keys.values.get("dlm_type") == "dream":
            raise keys.error("dlm_type", "unshifted logits", "dream")
        config = cls(
            hidden_size=keys.count("hidden_size"),
            num_layers=keys.count("num_hidden_layers"),
            intermediate_size=keys.count("intermediate_size"),
            num_heads=keys.count("num_attention_heads"),
            num_kv_heads=keys.count("num_key_value_heads"),
            head_dim=keys.count("head_dim"),
            vocab_size=keys.count("vocab_size"),
            norm_epsilon=keys.number("rms_norm_eps"),
            max_positions=keys.count("max_position_embeddings"),
            block_size=keys.count("block_size"),
            mask_token_id=keys.token("mask_token_id"),
            eos_token_id=keys.token("eos_token_id"),
            bos_token_id=None if keys.values.get("bos_token_id") is None else keys.token("bos_token_id"),
            tied=keys.flag("tie_word_embeddings"),
            rope=_rope(keys),
            vision=VisionConfig.read(keys) if model_type == VLM_MODEL_TYPE else None,
        )
        check_heads(keys, config)
        return config

    @property
    def query_width(self) -> int:
        """Columns of q_proj: heads x head_dim, not hidden_size."""
        return self.num_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Columns of k_proj and of v_proj."""
        return self.num_kv_heads * self.head_dim

    @property
    def group(self) -> int:
        """Query heads that share one key head."""
        return self.num_heads // self.num_kv_heads


def check_heads(keys: Keys, config: ModelConfig) -> None:
    """Check that the heads fit each other.

    Raises:
        CheckpointError: names the key of config.json.
    """
    if config.num_heads % config.num_kv_heads:
        raise keys.error("num_attention_heads", f"a multiple of {config.num_kv_heads}", config.num_heads)
    if config.head_dim % 2:
        raise keys.error("head_dim", "an even number", config.head_dim)


def _rope(keys: Keys) -> Rope:
    found = keys.get("rope_parameters")
    if not isinstance(found, dict):
        raise keys.error("rope_parameters", "an object", found)
    if keys.values.get("rope_scaling") not in (None, found):
        raise keys.error("rope_scaling", "the same as rope_parameters", keys.values["rope_scaling"])
    return read_rope(Keys(keys.path, found, "rope_parameters."))


def read_rope(rope: Keys) -> Rope:
    """Read the object that says how positions rotate.

    Raises:
        CheckpointError: a kind of scaling, or a key, that the graph does not implement.
    """
    found = rope.values
    kind = rope.get("rope_type")
    if kind not in ("default", "yarn"):
        raise rope.error("rope_type", "'default' or 'yarn'", kind)
    if found.get("type", kind) != kind:
        raise rope.error("type", repr(kind), found["type"])
    if unknown := sorted(set(found) - ROPE_KEYS):
        raise CheckpointError(f"{rope.path}: {rope.prefix.rstrip('.')}: unknown keys {unknown}")
    beta = rope.number("llama_4_scaling_beta", 0.0)
    needs_length = kind == "yarn" or beta > 0
    original = rope.count("original_max_position_embeddings") if needs_length else 0
    if kind == "default":
        return Rope(kind, rope.number("rope_theta"), original_length=original, query_scale_beta=beta)
    return Rope(
        kind=kind,
        theta=rope.number("rope_theta"),
        factor=rope.number("factor"),
        original_length=original,
        beta_fast=rope.number("beta_fast", 32.0),
        beta_slow=rope.number("beta_slow", 1.0),
        mscale=rope.number("mscale", 0.0),
        mscale_all_dim=rope.number("mscale_all_dim", 0.0),
        attention_factor=None if found.get("attention_factor") is None else rope.number("attention_factor"),
        truncate=bool(found.get("truncate", True)),
        query_scale_beta=beta,
    )
