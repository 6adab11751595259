"""GenerationParams: what one request may ask for; parsed, defaulted, held against its mode and echoed here.

The fields themselves, their ranges and their meaning are in fields.py. Knows nothing of tensors, tokenizers or engines.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

from ..errors import Described, RequestError
from .effort import EffortTable
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
    effort: EffortTable | str = "needs a checkpoint with a table of efforts"  # or why there is none
    mode: Mode = Mode.AUTO
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
    auto_allow: tuple[str, ...] = ()
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
    revise_rounds: int = 0
    accept: str = "likelihood"
    effort: float | None = None
    enable_thinking: bool = False
    stream: bool = False
    stream_provisional: bool = False
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
            limit = "are the ways to give a prompt: exactly one must be given"
            raise RequestError(
                ", ".join(PROMPT_FIELDS), limit, Described(", ".join(prompts) or "none"), error_type="bad_prompt"
            )
        if "enable_thinking" in values and "messages" not in values:
            raise RequestError(
                "enable_thinking", "applies to messages", Described(prompts[0]), error_type="not_applicable"
            )
        edit = _resolve_task(values, defaults)
        if edit:
            values["stream"] = False  # there is nothing to send before the end
        named = "mode" in values
        if edit and values.get("mode") is Mode.AUTO:
            del values["mode"]  # there is only one that can
        mode = values.setdefault("mode", _default_mode(values, edit, defaults))
        if edit and mode is not Mode.DIFFUSION:
            raise RequestError("mode", "must be diffusion to fill gaps or to revise", mode, error_type="not_applicable")
        for name, modes in FIELDS_OF_MODES.items():
            if name in values and mode not in modes:
                picked = "" if named or mode is defaults.mode else ", which other fields pick where no mode is named"
                limit = f"applies to mode {' or '.join(modes)}, not {mode}{picked}"
                raise RequestError(name, limit, values[name], error_type="not_applicable")
        if values.get("draft_adapter") and not defaults.adapter:
            limit = "needs a checkpoint with linear_spec_lora, which this one has not"
            raise RequestError("draft_adapter", limit, values["draft_adapter"], error_type="not_applicable")
        values.setdefault("draft_adapter", defaults.adapter and mode in FIELDS_OF_MODES["draft_adapter"])
        if values.get("stream_provisional") and not values.get("stream"):
            raise RequestError("stream_provisional", "needs stream", True, error_type="not_applicable")
        _resolve_effort(values, edit, defaults)
        _resolve_revising(values, edit)
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

    def diffusing(self) -> GenerationParams:
        """Return what an `auto` request is when it is decoded by diffusion: the same with that mode's defaults."""
        return replace(self, mode=Mode.DIFFUSION, threshold=SURE, draft_adapter=False)

    @property
    def prompt_field(self) -> str:
        """The field that holds the prompt."""
        return next(name for name in PROMPT_FIELDS if getattr(self, name) is not None)

    def echo(self) -> dict[str, Any]:
        """Return the effective values as JSON-ready data, without the prompt and what the mode does not have.

        Of `segments` the gaps are left, without the texts around them.
        """
        other_modes = (name for name, modes in FIELDS_OF_MODES.items() if self.mode not in modes)
        left_out = {*PROMPT_FIELDS, "suffix", "instruction", "reference", *other_modes}
        left_out |= set(others_fields(self.task))
        left_out |= set(NOT_OF_TASKS.get(self.task or "", ()))
        left_out |= set(() if self.revise_rounds else _REVISING)
        echo = {name: value for name, value in asdict(self).items() if name not in left_out}
        if self.segments is not None:
            gaps = [item for item in self.segments if not isinstance(item, str)]
            echo["segments"] = [{} if size is None else {"infill_tokens": size} for size in gaps]
        return echo


MOST_SEARCHED = 32
"""Largest gap that is tried where the request gives no size and no max_tokens."""
FIELDS_OF_TASKS: dict[str, tuple[str, ...]] = {
    "infill": ("suffix", "segments", "infill_tokens", "infill_lengths", "return_candidates", "instruction"),
    "revise": ("text", "instruction", "spans"),
}
"""What a request can be beside generation, by the fields that it has and generation has not."""
_OF_GENERATION = (
    *("input_ids", "stop_words", "end_id", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("max_thinking_tokens", "end_think_token_id", "enable_thinking"),
)
_REVISING = ("revise_threshold", "revise_fraction", "accept")
NOT_OF_TASKS = {
    "infill": (*_OF_GENERATION, *_REVISING, "revise_rounds", "stream_provisional"),
    "revise": (*_OF_GENERATION, "stream_provisional", "max_tokens", "return_log_probs", "exclude_input_in_output"),
}
"""Fields of generation that the other tasks have not."""
_NEEDS = {
    "suffix": "does not go together with text",
    "spans": "needs text",
    "instruction": "needs text, suffix or segments",
}
_EXCLUSIVE = (
    ("suffix", "segments"),
    ("infill_tokens", "infill_lengths"),
    ("infill_tokens", "segments"),
    ("infill_lengths", "segments"),
    ("instruction", "messages"),
    ("revise_threshold", "revise_fraction"),
)


SURE = 0.9
"""Probability from which diffusion keeps a token at once where the request says nothing."""
ROUNDS = 2
"""Times that a text is gone through where the request says nothing."""
UNLIKELY = -2.0
"""Log-probability below which tokens are reconsidered where the request says nothing."""
NARROWEST = 3
"""Smallest window that holds a known token, one to fill and one that follows."""


def others_fields(task: str | None) -> tuple[str, ...]:
    """Return the fields that a request can have only if it is another task than `task`, None for generation."""
    own = FIELDS_OF_TASKS.get(task or "", ())
    return tuple(name for names in FIELDS_OF_TASKS.values() for name in names if name not in own)


def _resolve_task(values: dict[str, Any], defaults: Defaults) -> str | None:
    """Return "infill", "revise" or None for generation; each has knobs that the others have not."""
    task = "revise" if "text" in values else "infill" if {"suffix", "segments"} & set(values) else None
    for name in others_fields(task):
        if name in values:
            limit = _NEEDS.get(name, "needs suffix or segments")
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
    return task


def _default_mode(values: Mapping[str, Any], task: str | None, defaults: Defaults) -> Mode:
    """Return the mode of a request that names none: a knob that the server's own mode lacks picks one that has it."""
    if task or "effort" in values:
        return Mode.DIFFUSION
    if defaults.mode is Mode.AUTO and {"denoise_steps", "threshold", "reveal"} & set(values):
        return Mode.SELF_SPECULATION
    return defaults.mode


def _resolve_effort(values: dict[str, Any], task: str | None, defaults: Defaults) -> None:
    """Put the table's knobs where the request has none of its own.

    Windows of the other tasks are kept as wide as the model was trained; a text is revised at least as often as
    without effort.
    """
    if "effort" not in values:
        return
    if isinstance(defaults.effort, str):
        raise RequestError("effort", defaults.effort, values["effort"], error_type="not_applicable")
    level = defaults.effort.at(values["effort"])
    if task is None:
        values.setdefault("block_length", min(level.block_length, defaults.block_length))
    block = values.get("block_length", defaults.block_length)
    values.setdefault("denoise_steps", min(level.denoise_steps, block))
    if level.threshold is None and "threshold" not in values:
        values.setdefault("reveal", "steps")
    elif level.threshold is not None and values.get("reveal") != "steps":
        values.setdefault("threshold", level.threshold)
    if task is None or (task == "revise" and level.revise_rounds > ROUNDS):
        values.setdefault("revise_rounds", level.revise_rounds)


def _resolve_revising(values: dict[str, Any], task: str | None) -> None:
    """Fill in how a text, or each block that diffusion fills, is revised."""
    if task == "infill":
        return
    rounds = values.setdefault("revise_rounds", ROUNDS if task else 0)
    if task and not rounds:
        raise RequestError("revise_rounds", "must be at least 1 to revise a text", rounds)
    for name in _REVISING if not rounds else ():
        if name in values:
            limit = "needs revise_rounds above 0, or text"
            raise RequestError(name, limit, values[name], error_type="not_applicable")
    if rounds and "revise_fraction" not in values and "spans" not in values:
        values.setdefault("revise_threshold", UNLIKELY)


def _resolve_length(values: dict[str, Any], task: str | None, defaults: Defaults) -> None:
    """Fill in max_tokens, which bounds the sizes of gaps too."""
    if task != "infill":
        values.setdefault("max_tokens", defaults.max_tokens)
        return
    fields = ("infill_tokens", "infill_lengths", "segments")
    field, given = next(((name, values[name]) for name in fields if name in values), ("", None))
    gaps = [given] if field == "infill_tokens" else [gap for gap in given or (None,) if not isinstance(gap, str)]
    sizes = [size for size in gaps if size is not None]
    searched = [MOST_SEARCHED] if None in gaps else []
    most = values.setdefault("max_tokens", max([*sizes, *searched]))
    if most > MAX_GAP_TOKENS:
        raise RequestError("max_tokens", f"must be at most {MAX_GAP_TOKENS} for filling gaps", most)
    if sizes and max(sizes) > most:
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
        if mode in (Mode.SELF_SPECULATION, Mode.AUTO):
            values["threshold"] = None if asked_steps else 0.0
        else:
            values["threshold"] = SURE


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
