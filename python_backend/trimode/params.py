"""GenerationParams: what one request may ask for; parsed, defaulted, held against its mode and echoed here.

The fields themselves, their ranges and their meaning are in fields.py. Knows nothing of tensors, tokenizers or engines.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from .errors import RequestError
from .fields import FIELDS, FIELDS_OF_MODES, PROMPT_FIELDS, Mode, check_field


@dataclass(frozen=True)
class Defaults:
    """What the engine and the server's configuration put where a request says nothing."""

    vocab_size: int
    block_length: int
    end_id: int
    end_think_token_id: int | None = None
    mask_token_id: int | None = None
    adapter: bool = False  # whether the checkpoint has a draft adapter
    mode: Mode = Mode.SELF_SPECULATION
    max_tokens: int = 128


@dataclass(frozen=True)
class GenerationParams:
    """One request's effective values; build it with `parse`. Meanings are in FIELDS.

    `reference` follows the released loops to the letter where the served behaviour is saner (parity tests only):
    the mask id may be chosen, every diffusion block is committed, and a first EOS does not end diffusion early.
    """

    mode: Mode
    max_tokens: int
    end_id: int
    block_length: int
    denoise_steps: int
    threshold: float | None
    reveal: str
    seed: int
    text_input: str | None = None
    input_ids: tuple[int, ...] | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    segments: tuple[str | int | None, ...] | None = None
    suffix: str | None = None
    infill_tokens: int | None = None
    infill_lengths: tuple[int, ...] = ()
    return_candidates: bool = False
    enable_thinking: bool = False
    stream: bool = False
    stop_words: tuple[str, ...] = ()
    draft_adapter: bool = False
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    max_thinking_tokens: int | None = None
    end_think_token_id: int | None = None
    timeout_ms: int | None = None
    exclude_input_in_output: bool = True
    return_log_probs: bool = False
    return_token_ids: bool = False
    return_num_input_tokens: bool = False
    return_num_output_tokens: bool = False
    return_finish_reason: bool = False
    return_perf_metrics: bool = False
    return_effective_params: bool = False
    reference: bool = False

    @classmethod
    def parse(cls, given: Mapping[str, object], defaults: Defaults, *, reference: bool = False) -> GenerationParams:
        """Check `given` (name -> Python value) against FIELDS and fill in the defaults.

        Raises:
            RequestError: unknown field, wrong type, out of range, or a knob that the chosen mode does not have.
        """
        values = {name: check_field(name, value) for name, value in given.items()}
        values = {name: value for name, value in values.items() if value is not None}
        prompts = [name for name in PROMPT_FIELDS if name in values]
        if len(prompts) != 1:
            limit = "exactly one must be given"
            raise RequestError(", ".join(PROMPT_FIELDS), limit, prompts or "none", error_type="bad_prompt")
        if "enable_thinking" in values and "messages" not in values:
            raise RequestError("enable_thinking", "applies to messages", prompts[0], error_type="not_applicable")
        infill = _resolve_infill(values)
        mode = values.setdefault("mode", Mode.DIFFUSION if infill else defaults.mode)
        if infill and mode is not Mode.DIFFUSION:
            raise RequestError("mode", "must be diffusion to fill a gap", mode, error_type="not_applicable")
        for name, modes in FIELDS_OF_MODES.items():
            if name in values and mode not in modes:
                limit = f"applies to mode {' or '.join(modes)}, not {mode}"
                raise RequestError(name, limit, values[name], error_type="not_applicable")
        if values.get("draft_adapter") and not defaults.adapter:
            limit = "needs a checkpoint with linear_spec_lora, which this one has not"
            raise RequestError("draft_adapter", limit, values["draft_adapter"], error_type="not_applicable")
        values.setdefault("draft_adapter", defaults.adapter and mode is Mode.SELF_SPECULATION)
        values.setdefault("max_tokens", MOST_SEARCHED if infill else defaults.max_tokens)
        _check_token("end_id", values.setdefault("end_id", defaults.end_id), defaults)
        values.setdefault("seed", secrets.randbits(31))
        _resolve_block(values, mode, defaults)
        _resolve_thinking(values, defaults)
        for token in values.get("input_ids", ()):
            if token >= defaults.vocab_size:
                raise RequestError("input_ids", f"must be below the vocabulary's {defaults.vocab_size}", token)
        return cls(**values, reference=reference)

    @cached_property
    def infill(self) -> bool:
        """Whether the request is to fill gaps rather than to go on from a prompt."""
        return self.suffix is not None or self.segments is not None

    @cached_property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0.0

    @cached_property
    def penalised(self) -> bool:
        """Whether a token's score depends on the tokens before it."""
        return (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)

    @property
    def prompt_field(self) -> str:
        """The field that holds the prompt."""
        return next(name for name in PROMPT_FIELDS if getattr(self, name) is not None)

    def echo(self) -> dict[str, Any]:
        """Return the effective values as JSON-ready data, without the prompt and what the mode does not have."""
        other_modes = (name for name, modes in FIELDS_OF_MODES.items() if self.mode not in modes)
        left_out = {*PROMPT_FIELDS, "suffix", "reference", *other_modes}
        left_out |= set(NOT_FOR_INFILL if self.infill else INFILL_FIELDS)
        return {name: value for name, value in asdict(self).items() if name not in left_out}


NOT_FOR_INFILL = (
    *("input_ids", "stop_words", "end_id", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("max_thinking_tokens", "end_think_token_id"),
)
INFILL_FIELDS = ("infill_tokens", "infill_lengths", "return_candidates")
MOST_SEARCHED = 32
"""Largest gap that is tried where the request gives no size and no max_tokens."""


def _resolve_infill(values: dict[str, Any]) -> bool:
    """Return whether this is a request to fill gaps; its knobs belong to it alone, some others not to it."""
    infill = "suffix" in values or "segments" in values
    if "suffix" in values and "segments" in values:
        raise RequestError("suffix", "does not apply to segments", values["suffix"], error_type="not_applicable")
    for name in NOT_FOR_INFILL if infill else INFILL_FIELDS:
        if name in values:
            limit = "does not apply to filling gaps" if infill else "needs suffix or segments"
            raise RequestError(name, limit, values[name], error_type="not_applicable")
    if "infill_tokens" in values and "infill_lengths" in values:
        raise RequestError("infill_lengths", "does not apply when infill_tokens is given", values["infill_lengths"])
    if "segments" in values:
        for name in ("infill_tokens", "infill_lengths"):
            if name in values:
                limit = "does not apply to segments, whose gaps have their own"
                raise RequestError(name, limit, values[name], error_type="not_applicable")
    if infill and values.get("enable_thinking"):
        raise RequestError("enable_thinking", "does not apply to filling gaps", True, error_type="not_applicable")
    return infill


def _resolve_block(values: dict[str, Any], mode: Mode, defaults: Defaults) -> None:
    """Fill in the block's knobs: self-speculation drafts in one pass unless asked otherwise, diffusion at 0.9."""
    block = values.setdefault("block_length", defaults.block_length)
    asked_steps = "denoise_steps" in values
    if values.setdefault("denoise_steps", block) > block:
        raise RequestError("denoise_steps", f"must be at most block_length = {block}", values["denoise_steps"])
    reveal = values.setdefault("reveal", "threshold")
    if reveal == "steps":
        if "threshold" in values:
            limit = "does not apply to reveal steps"
            raise RequestError("threshold", limit, values["threshold"], error_type="not_applicable")
        values["threshold"] = None
    elif "threshold" not in values:
        one_pass = mode is Mode.SELF_SPECULATION and not asked_steps
        only_steps = mode is Mode.SELF_SPECULATION and asked_steps
        values["threshold"] = 0.0 if one_pass else None if only_steps else 0.9


def _check_token(name: str, token: int, defaults: Defaults) -> None:
    if token >= defaults.vocab_size:
        raise RequestError(name, f"must be below the vocabulary's {defaults.vocab_size}", token)
    if token == defaults.mask_token_id:
        raise RequestError(name, "must not be the mask token, which is never generated", token)


def _resolve_thinking(values: dict[str, Any], defaults: Defaults) -> None:
    token = values.setdefault("end_think_token_id", defaults.end_think_token_id)
    if values.get("max_thinking_tokens") is None:
        return
    if token is not None:
        _check_token("end_think_token_id", token, defaults)
    else:
        limit = "needs end_think_token_id: this model's tokenizer has no </think>"
        raise RequestError("max_thinking_tokens", limit, values["max_thinking_tokens"], error_type="not_applicable")


assert {f.name for f in FIELDS} | {"reference"} == {f.name for f in fields(GenerationParams)}
