"""The draft adapter in linear_spec_lora/: a PEFT LoRA on every layer's o_proj, read and checked against the model.

One for a model that was not trained to denoise brings its masks' embedding too, as PEFT keeps trained tokens. Knows
PEFT's names, and that the branch is scaled by alpha / r. Does not know when the adapter is on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimode.errors import CheckpointError

from .config import ModelConfig
from .keys import Keys
from .tensor_file import Tensor, TensorFile

FOLDER = "linear_spec_lora"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_TENSORS = "adapter_model.safetensors"
TARGETS = ["o_proj"]
TRAINED_TOKENS = "trainable_token_indices"
MASK_ROW = "base_model.model.encoder.embed_tokens.token_adapter.trainable_tokens_delta"
"""The embeddings of TRAINED_TOKENS, of which there is one, the mask's. Source: peft, tuners/trainable_tokens."""
# Options of PEFT that change the arithmetic, each with its values that mean "off": only those are implemented.
OFF: dict[str, tuple[Any, Any]] = {
    "use_dora": (False, None), "use_rslora": (False, None), "bias": ("none", None), "fan_in_fan_out": (False, None),
    "alpha_pattern": ({}, None), "rank_pattern": ({}, None), "modules_to_save": (None, []), "lora_bias": (False, None),
    "layers_to_transform": (None, []), "layer_replication": (None, []), "exclude_modules": (None, []),
}  # fmt: skip


@dataclass(frozen=True)
class Adapter:
    """An open adapter: when it is on, o_proj(x) gains scale * B(A x), and `mask`, if there is one, embeds masks."""

    config_path: Path
    file: TensorFile
    rank: int
    scale: float

    @classmethod
    def open(cls, folder: Path, config: ModelConfig) -> Adapter:
        """Open and check the adapter.

        Raises:
            CheckpointError: another method, rank or target than the graph has, or tensors that do not fit.
        """
        keys = Keys.load(folder / ADAPTER_CONFIG)
        if keys.get("peft_type") != "LORA":
            raise keys.error("peft_type", "'LORA'", keys.get("peft_type"))
        if keys.get("target_modules") != TARGETS:
            raise keys.error("target_modules", repr(TARGETS), keys.get("target_modules"))
        for name, allowed in OFF.items():
            if keys.values.get(name) not in allowed:
                raise keys.error(name, repr(allowed[0]), keys.values[name])
        rank = keys.count("r")
        scale = keys.number("lora_alpha") / rank
        trained = {"embed_tokens": [config.mask_token_id]}
        if keys.values.get(TRAINED_TOKENS) not in (None, trained):
            raise keys.error(TRAINED_TOKENS, f"{trained}, the mask alone", keys.values[TRAINED_TOKENS])
        file = TensorFile.open(folder / ADAPTER_TENSORS)
        try:
            _check(file, adapter_shapes(config, rank, embeds_mask=bool(keys.values.get(TRAINED_TOKENS))))
        except CheckpointError:
            file.close()
            raise
        return cls(keys.path, file, rank, scale)

    @property
    def mask(self) -> Tensor | None:
        """The embedding of masks while the adapter is on  # [1, hidden]."""
        return self.file.tensors.get(MASK_ROW)

    def down(self, layer: int) -> Tensor:
        """Return A of a layer  # [rank, query width]."""
        return self.file.tensors[_name(layer, "A")]

    def up(self, layer: int) -> Tensor:
        """Return B of a layer, without the scale  # [hidden, rank]."""
        return self.file.tensors[_name(layer, "B")]


def _name(layer: int, side: str) -> str:
    return f"base_model.model.encoder.layers.{layer}.self_attn.o_proj.lora_{side}.weight"


def embeds_mask(folder: Path) -> bool:
    """Return whether the adapter in `folder` brings its masks' embedding: such a one lets a causal model draft."""
    path = folder / ADAPTER_CONFIG
    return path.is_file() and bool(Keys.load(path).values.get(TRAINED_TOKENS))


def adapter_shapes(config: ModelConfig, rank: int, *, embeds_mask: bool = False) -> dict[str, tuple[int, ...]]:
    """Return every tensor of an adapter with its shape."""
    expected: dict[str, tuple[int, ...]] = {MASK_ROW: (1, config.hidden_size)} if embeds_mask else {}
    for layer in range(config.num_layers):
        expected[_name(layer, "A")] = (rank, config.query_width)
        expected[_name(layer, "B")] = (config.hidden_size, rank)
    return expected


def _check(file: TensorFile, expected: dict[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        found = file.tensors.get(name)
        if found is None or found.shape != shape:
            state = "none" if found is None else str(list(found.shape))
            raise CheckpointError(f"{file.path}: tensor {name}: expected {list(shape)}, found {state}")
    if unknown := sorted(set(file.tensors) - set(expected)):
        raise CheckpointError(f"{file.path}: tensor {unknown[0]}: unknown to {ADAPTER_CONFIG}")
