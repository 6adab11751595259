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
from .fields import FIELDS, FIELDS_OF_MODES, MAX_GAP_TOKENS, PROMPT_FIELDS, Mode, check_field


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
    text: str | None = None
    instruction: str | None = None
    spans: tuple[tuple[int, int], ...] = ()
    revise_threshold: float | None = None
    revise_fraction: float | None = None
    revise_rounds: int = 2
    accept: str = "likelihood"
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
        edit = _resolve_task(values, defaults)
        mode = values.setdefault("mode", Mode.DIFFUSION if edit else defaults.mode)
        if edit and mode is not Mode.DIFFUSION:
            raise RequestError("mode", "must be diffusion to fill gaps or to revise", mode, error_type="not_applicable")
        for name, modes in FIELDS_OF_MODES.items():
            if name in values and mode not in modes:
                limit = f"applies to mode {' or '.join(modes)}, not {mode}"
                raise RequestError(name, limit, values[name], error_type="not_applicable")
        if values.get("draft_adapter") and not defaults.adapter:
            limit = "needs a checkpoint with linear_spec_lora, which this one has not"
            raise RequestError("draft_adapter", limit, values["draft_adapter"], error_type="not_applicable")
        values.setdefault("draft_adapter", defaults.adapter and mode is Mode.SELF_SPECULATION)
        _resolve_length(values, edit, defaults)
        _check_token("end_id", values.setdefault("end_id", defaults.end_id), defaults)
        values.setdefault("seed", secrets.randbits(31))
        _resolve_block(values, mode, defaults)
        _resolve_thinking(values, defaults)
        for token in values.get("input_ids", ()):
            if token >= defaults.vocab_size:
                raise RequestError("input_ids", f"must be below the vocabulary's {defaults.vocab_size}", token)
        return cls(**values, reference=reference)

    @cached_property
    def task(self) -> str | None:
        """What the request is: "infill", "revise", or None for generation."""
        if self.text is not None:
            return "revise"
        return "infill" if self.suffix is not None or self.segments is not None else None

    @cached_property
    def kind(self) -> str:
        """What its measurements are filed under: its task, or its mode."""
        return self.task or str(self.mode)

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
        left_out = {*PROMPT_FIELDS, "suffix", "instruction", "reference", *other_modes}
        for task, names in FIELDS_OF_TASKS.items():
            left_out |= set(names if task != self.task else ())
        left_out |= set(NOT_OF_TASKS.get(self.task or "", ()))
        return {name: value for name, value in asdict(self).items() if name not in left_out}


MOST_SEARCHED = 32
"""Largest gap that is tried where the request gives no size and no max_tokens."""
FIELDS_OF_TASKS: dict[str, tuple[str, ...]] = {
    "infill": ("suffix", "segments", "infill_tokens", "infill_lengths", "return_candidates"),
    "revise": ("text", "instruction", "spans", "revise_threshold", "revise_fraction", "revise_rounds", "accept"),
}
"""What a request can be beside generation, by the fields that only it has."""
_OF_GENERATION = (
    *("input_ids", "stop_words", "end_id", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("max_thinking_tokens", "end_think_token_id", "enable_thinking"),
)
NOT_OF_TASKS = {
    "infill": _OF_GENERATION,
    "revise": (*_OF_GENERATION, "max_tokens", "return_log_probs", "exclude_input_in_output"),
}
"""Fields of generation that the other tasks have not."""
_EXCLUSIVE = (
    ("suffix", "segments"),
    ("infill_tokens", "infill_lengths"),
    ("infill_tokens", "segments"),
    ("infill_lengths", "segments"),
    ("revise_threshold", "revise_fraction"),
)


NARROWEST = 3
"""Smallest window that holds a known token, one to fill and one that follows."""


def _resolve_task(values: dict[str, Any], defaults: Defaults) -> str | None:
    """Return "infill", "revise" or None for generation; each has knobs that the others have not."""
    task = "revise" if "text" in values else "infill" if {"suffix", "segments"} & set(values) else None
    for other, names in FIELDS_OF_TASKS.items():
        for name in names if other != task else ():
            if name in values:
                needs = "needs suffix or segments" if other == "infill" else "needs text"
                limit = "does not go together with text" if name == "suffix" else needs
                raise RequestError(name, limit, values[name], error_type="not_applicable")
    if task is None:
        return None
    doing = "filling gaps" if task == "infill" else "revising a text"
    for name in NOT_OF_TASKS[task]:
        if name in values:
            raise RequestError(name, f"does not apply to {doing}", values[name], error_type="not_applicable")
    for one, two in _EXCLUSIVE:
        if one in values and two in values:
            raise RequestError(one, f"does not go together with {two}", values[one], error_type="not_applicable")
    block = values.get("block_length", defaults.block_length)
    if not NARROWEST <= block <= defaults.block_length:
        limit = f"must be between {NARROWEST} and the trained {defaults.block_length} for {doing}"
        raise RequestError("block_length", limit, block)
    if task == "revise" and "revise_fraction" not in values and "spans" not in values:
        values.setdefault("revise_threshold", -2.0)
    return task


def _resolve_length(values: dict[str, Any], task: str | None, defaults: Defaults) -> None:
    """Fill in max_tokens, which bounds the sizes of gaps too."""
    if task != "infill":
        values.setdefault("max_tokens", defaults.max_tokens)
        return
    sizes = (*values.get("infill_lengths", ()), *filter(None, [values.get("infill_tokens")]))
    most = values.setdefault("max_tokens", max(sizes, default=MOST_SEARCHED))
    if most > MAX_GAP_TOKENS:
        raise RequestError("max_tokens", f"must be at most {MAX_GAP_TOKENS} for filling gaps", most)
    if sizes and max(sizes) > most:
        field = "infill_tokens" if "infill_tokens" in values else "infill_lengths"
        raise RequestError(field, f"must be at most max_tokens = {most}", max(sizes))


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
