"""A model's shape, and the `config.json` that describes it in the official layout.

Knows the names and values of the family's configuration. Knows nothing about weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BOS_ID = 1
IM_START_ID = 10
EOS_ID = 11  # <|im_end|>
THINK_ID = 12
END_THINK_ID = 13
IMAGE_START_ID, IMAGE_PAD_ID, IMAGE_BREAK_ID, IMAGE_END_ID = 18, 19, 20, 21  # constants of the family's vision model
MASK_ID = 100
RESERVED_IDS = 128  # ids below this are special or fillers; bytes and merges follow


@dataclass(frozen=True)
class VisionConfig:
    """Sizes of a vision tower. Defaults are those of nano-vlm."""

    hidden_size: int = 96
    num_hidden_layers: int = 3
    num_attention_heads: int = 3
    head_dim: int = 32
    intermediate_size: int = 256
    rope_theta: float = 10000.0

    def __post_init__(self) -> None:
        if self.num_attention_heads * self.head_dim != self.hidden_size or self.head_dim % 4:
            raise ValueError(
                f"num_attention_heads x head_dim ({self.num_attention_heads} x {self.head_dim}) must be hidden_size "
                f"({self.hidden_size}), with a head_dim that is a multiple of 4"
            )

    def to_official(self) -> dict[str, Any]:
        """Return the `vision_config` of config.json."""
        return {
            "model_type": "pixtral",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "head_dim": self.head_dim,
            "num_channels": 3,
            "patch_size": 14,
            "image_size": 1540,
            "hidden_act": "silu",
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
        }

    @classmethod
    def from_official(cls, config: dict[str, Any]) -> VisionConfig:
        """Read the sizes from a `vision_config`; older exports have `rope_theta` beside the sizes."""
        return cls(
            hidden_size=config["hidden_size"],
            num_hidden_layers=config["num_hidden_layers"],
            num_attention_heads=config["num_attention_heads"],
            head_dim=config.get("head_dim", config["hidden_size"] // config["num_attention_heads"]),
            intermediate_size=config["intermediate_size"],
            rope_theta=config.get("rope_parameters", config)["rope_theta"],
        )


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of one model. Defaults are those of the nano checkpoint; `vision` is None where it reads no pictures."""

    vocab_size: int = 2048
    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    num_key_value_heads: int = 2
    head_dim: int = 32
    intermediate_size: int = 768
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_factor: float = 16.0
    original_max_position_embeddings: int = 16384
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    llama_4_scaling_beta: float = 0.1
    initializer_range: float = 0.02
    block_size: int = 32
    mask_id: int = MASK_ID
    bos_id: int = BOS_ID
    eos_id: int = EOS_ID
    tied: bool = False  # the head is the embedding
    vision: VisionConfig | None = None

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads ({self.num_attention_heads}) must be a multiple of "
                f"num_key_value_heads ({self.num_key_value_heads})"
            )
        if self.mask_id == MASK_ID and self.vocab_size < RESERVED_IDS + 256:  # another mask is another tokenizer's
            raise ValueError(f"vocab_size ({self.vocab_size}) must hold {RESERVED_IDS} reserved ids and 256 bytes")

    def to_official(self) -> dict[str, Any]:
        """Return the content of config.json: every key that the released text models have, and those of vision."""
        return {**self._text(), **self._vision()}

    def _vision(self) -> dict[str, Any]:
        if self.vision is None:
            return {}
        name = "nemotron_labs_diffusion_vlm"
        return {
            "architectures": ["NemotronLabsDiffusionVLMModel"],
            "model_type": name,
            "auto_map": {
                "AutoConfig": f"configuration_{name}.NemotronLabsDiffusionVLMConfig",
                "AutoModel": f"modeling_{name}.NemotronLabsDiffusionVLMModel",
            },
            "vision_config": self.vision.to_official(),
            "vision_feature_layer": -1,
            "spatial_merge_size": 2,
            "projector_hidden_act": "gelu",
            "multimodal_projector_bias": False,
        }

    def _text(self) -> dict[str, Any]:
        return {
            "architectures": ["NemotronLabsDiffusionModel"],
            "model_type": "nemotron_labs_diffusion",
            "auto_map": {
                "AutoConfig": "configuration_nemotron_labs_diffusion.NemotronLabsDiffusionConfig",
                "AutoModel": "modeling_nemotron_labs_diffusion.NemotronLabsDiffusionModel",
            },
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate_size,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "max_position_embeddings": self.max_position_embeddings,
            "attention_bias": False,
            "mlp_bias": False,
            "attention_dropout": 0.0,
            "tie_word_embeddings": self.tied,
            "sliding_window": None,
            "bos_token_id": self.bos_id,
            "eos_token_id": self.eos_id,
            "mask_token_id": self.mask_id,
            "block_size": self.block_size,
            "dlm_paradigm": "bidirectional",
            "dlm_loss_weight": None,
            "ar_loss_weight": 1.0,
            "dp_varying_mask_ratio": False,
            "attn_implementation": "sdpa",
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": self.rope_theta,
                "factor": self.rope_factor,
                "original_max_position_embeddings": self.original_max_position_embeddings,
                "beta_fast": self.beta_fast,
                "beta_slow": self.beta_slow,
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
                "llama_4_scaling_beta": self.llama_4_scaling_beta,
            },
            "torch_dtype": "bfloat16",
            "transformers_version": "5.0.0",
            "use_cache": False,
            "initializer_range": self.initializer_range,
        }

    @classmethod
    def from_official(cls, config: dict[str, Any]) -> ModelConfig:
        """Read the shape from the content of a config.json."""
        rope = config["rope_parameters"]
        return cls(
            vocab_size=config["vocab_size"],
            hidden_size=config["hidden_size"],
            num_hidden_layers=config["num_hidden_layers"],
            num_attention_heads=config["num_attention_heads"],
            num_key_value_heads=config["num_key_value_heads"],
            head_dim=config["head_dim"],
            intermediate_size=config["intermediate_size"],
            max_position_embeddings=config["max_position_embeddings"],
            rms_norm_eps=config["rms_norm_eps"],
            rope_theta=rope["rope_theta"],
            rope_factor=rope["factor"],
            original_max_position_embeddings=rope["original_max_position_embeddings"],
            beta_fast=rope["beta_fast"],
            beta_slow=rope["beta_slow"],
            llama_4_scaling_beta=rope["llama_4_scaling_beta"],
            initializer_range=config["initializer_range"],
            block_size=config["block_size"],
            mask_id=config["mask_token_id"],
            bos_id=config["bos_token_id"],
            eos_id=config["eos_token_id"],
            tied=config["tie_word_embeddings"],
            vision=VisionConfig.from_official(config["vision_config"]) if "vision_config" in config else None,
        )
