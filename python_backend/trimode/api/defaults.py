"""The defaults of a request, and which of its fields go together.

Works on a plain mapping from a field's name to its checked value; each `_resolve` step fills in a few of them.
Knows nothing of tensors, tokenizers or engines.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import Described, RequestError
from .applicability import FIELDS_OF_MODES, NOT_OF_OPERATIONS, REVISING, fields_of_others, operation_of
from .block_defaults import MAX_QUADRATIC_LENGTH, resolve_block
from .effort import EffortTable
from .fields import ALLOWED, MAX_GAP_TOKENS, PROMPT_FIELDS, Mode, Operation
from .guide import resolve_guide
from .rows.drafts import check_free_drafts
from .rows.images import check_images
from .rows.streams import EVERY_TOKEN, resolve_intervals


@dataclass(frozen=True)
class Defaults:
    """The defaults that the engine and the server's configuration give."""

    vocab_size: int
    block_length: int
    end_id: int
    end_think_token_id: int | None = None
    mask_token_id: int | None = None
    adapter: bool = False  # whether the checkpoint has a draft adapter
    effort: EffortTable | str = "needs a checkpoint with a table of efforts"  # or why there is none
    mode: Mode = Mode.AUTO
    max_tokens: int = 128
    intervals: tuple[int, int] = EVERY_TOKEN  # stream_interval and stream_interval_ms
    modes: tuple[Mode, ...] = tuple(Mode)  # those that the checkpoint was trained for
    most_images: int = 0  # pictures that a request may have; 0 where the model reads text alone
    quadratic_length: int = MAX_QUADRATIC_LENGTH  # tokens of the longest draft that one pass of the engine verifies


LARGEST_SEARCHED_GAP = 32
"""Tokens of the largest gap that is tried if the request gives neither a size nor max_tokens: one block of the
model."""
_NEEDS = {
    "suffix": "does not go together with text",
    "spans": "needs text",
    "instruction": "needs text, suffix or segments",
}
_COMPANIONS = {
    "stream_provisional": ("stream",),
    "log_probs_kind": ("return_log_probs",),
    "top_log_probs": ("return_log_probs", "return_prompt_log_probs"),
}
_EXCLUSIVE = (
    ("suffix", "segments"),
    ("infill_tokens", "infill_lengths"),
    ("infill_tokens", "segments"),
    ("infill_lengths", "segments"),
    ("instruction", "messages"),
    ("revise_threshold", "revise_fraction"),
)

DEFAULT_REVISE_ROUNDS = 2
"""Most rounds over a text: a change of the first round may make other tokens unlikely."""
DEFAULT_REVISE_THRESHOLD = -2.0
"""Log-probability (natural) below which tokens are reconsidered: about one chance in seven."""
NOT_TRAINED = "which this checkpoint does not have: it was trained to predict the next token, not to denoise"
"""Why a mode, or what needs it, is refused."""
SMALLEST_WINDOW = 3
"""Tokens of the smallest window that holds a known token, one to fill and one that follows."""


def resolve(values: dict[str, Any], defaults: Defaults) -> dict[str, Any]:
    """Add the defaults to `values`, checked fields by name; return them.

    Raises:
        RequestError: no prompt or several, or a field that the operation, the mode, the checkpoint or another field
            rules out.
    """
    operation = _resolve_operation(values, defaults)
    check_images(values, defaults.most_images)
    mode = _resolve_mode(values, operation, defaults)
    _resolve_adapter(values, mode, defaults)
    for name, needed in _COMPANIONS.items():
        if values.get(name) not in (None, False, 0, "reveal") and not any(values.get(one) for one in needed):
            raise _not_applicable(name, f"needs {' or '.join(needed)}", values[name])
    _resolve_effort(values, operation, defaults)
    _resolve_revising(values, operation)
    if operation is Operation.GENERATE:
        resolve_intervals(values, defaults.intervals)
    _resolve_length(values, operation, defaults)
    _check_token("end_id", values.setdefault("end_id", defaults.end_id), defaults)
    _check_tokens(values, defaults)
    values.setdefault("seed", secrets.randbits(31))
    resolve_block(values, mode, defaults.block_length, defaults.quadratic_length)
    check_free_drafts(values)
    _resolve_thinking(values, defaults)
    resolve_guide(values)
    return values


def _not_applicable(field: str, limit: str, given: object) -> RequestError:
    return RequestError(field, limit, given, error_type="not_applicable")


def _check_prompt(values: Mapping[str, Any]) -> None:
    prompts = [name for name in PROMPT_FIELDS if name in values]
    if len(prompts) != 1:
        limit = "are the ways to give a prompt; exactly one of these must be given"
        given = Described(", ".join(prompts) or "none")
        raise RequestError(", ".join(PROMPT_FIELDS), limit, given, error_type="bad_prompt")
    if "enable_thinking" in values and "messages" not in values:
        raise _not_applicable("enable_thinking", "applies to messages", Described(prompts[0]))
    if values.get("continue_final_message"):
        last = values["messages"][-1]["role"] if "messages" in values else prompts[0]
        if last != "assistant":
            limit = "needs messages whose last one has the role assistant"
            raise _not_applicable("continue_final_message", limit, Described(last))
    if values.get("allow_special_tokens") and not {"messages", "instruction"} & set(values):
        raise _not_applicable("allow_special_tokens", "applies to messages and instruction", Described(prompts[0]))


def _resolve_operation(values: dict[str, Any], defaults: Defaults) -> Operation:
    """Return what the request asks for; each operation has fields that the others do not have."""
    _check_prompt(values)
    operation = operation_of(values)
    for name in fields_of_others(operation):
        if name in values:
            raise _not_applicable(name, _NEEDS.get(name, "needs suffix or segments"), values[name])
    if operation is Operation.GENERATE:
        return operation
    if Mode.DIFFUSION not in defaults.modes:
        field = next(name for name in ("segments", "suffix", "text") if name in values)
        raise _not_applicable(field, f"needs mode diffusion, {NOT_TRAINED}", values[field])
    doing = "filling gaps" if operation is Operation.INFILL else "revising a text"
    for name in NOT_OF_OPERATIONS[operation]:
        if name in values:
            raise _not_applicable(name, f"does not apply to {doing}", values[name])
    for one, two in _EXCLUSIVE:
        if one in values and two in values:
            raise _not_applicable(one, f"does not go together with {two}", values[one])
    block = values.get("block_length", defaults.block_length)
    if not SMALLEST_WINDOW <= block <= defaults.block_length:
        limit = f"must be between {SMALLEST_WINDOW} and the trained {defaults.block_length} for {doing}"
        raise RequestError("block_length", limit, block)
    values["stream"] = False  # there is nothing to send before the end
    return operation


def _resolve_mode(values: dict[str, Any], operation: Operation, defaults: Defaults) -> Mode:
    """Fill in and return the mode; infill and revise support only diffusion; there `auto` means diffusion."""
    named = "mode" in values
    edit = operation is not Operation.GENERATE
    if edit and values.get("mode") is Mode.AUTO:
        del values["mode"]
    if len(defaults.modes) < len(Mode):
        _check_modes(values, defaults)
    mode: Mode = values.setdefault("mode", default_mode(values, defaults.mode, edit=edit))
    if edit and mode is not Mode.DIFFUSION:
        raise _not_applicable("mode", "must be diffusion to fill gaps or to revise", mode)
    for name, modes in FIELDS_OF_MODES.items():
        if name in values and mode not in modes:
            picked = "" if named or mode is defaults.mode else ", the mode that other fields of this request select"
            raise _not_applicable(name, f"applies to mode {' or '.join(modes)}, not {mode}{picked}", values[name])
    return mode


def _check_modes(values: Mapping[str, Any], defaults: Defaults) -> None:
    """Refuse the modes that the checkpoint does not have, and the fields that only those have; auto has no own."""
    if values.get("mode", Mode.AUTO) not in defaults.modes:
        limit = f"must be {' or '.join(defaults.modes)}, not {values['mode']}, {NOT_TRAINED}"
        raise _not_applicable("mode", limit, values["mode"])
    for name, modes in FIELDS_OF_MODES.items():
        needed: list[Mode] = [mode for mode in modes if mode is not Mode.AUTO]
        needed = needed or [Mode(allowed) for allowed in ALLOWED]
        if name in values and not set(needed) & set(defaults.modes):
            raise _not_applicable(name, f"needs mode {' or '.join(needed)}, {NOT_TRAINED}", values[name])


def _resolve_adapter(values: dict[str, Any], mode: Mode, defaults: Defaults) -> None:
    if values.get("draft_adapter") and not defaults.adapter:
        limit = "needs a checkpoint with linear_spec_lora; this checkpoint does not have one"
        raise _not_applicable("draft_adapter", limit, values["draft_adapter"])
    values.setdefault("draft_adapter", defaults.adapter and mode in FIELDS_OF_MODES["draft_adapter"])


def default_mode(values: Mapping[str, Any], mode: Mode, *, edit: bool = False) -> Mode:
    """Return the mode of a request that names none: a knob that the server's `mode` lacks selects one that has it."""
    if edit or "effort" in values:
        return Mode.DIFFUSION
    if mode is Mode.AUTO and {"denoise_steps", "threshold", "reveal", "speculation"} & set(values):
        return Mode.SELF_SPECULATION
    return mode


def _resolve_effort(values: dict[str, Any], operation: Operation, defaults: Defaults) -> None:
    """Set the knobs of the table that the request does not give.

    Windows of infill and revise keep their width. A text is revised at least as often as without effort.
    """
    if "effort" not in values:
        return
    if isinstance(defaults.effort, str):
        raise _not_applicable("effort", defaults.effort, values["effort"])
    level = defaults.effort.at(values["effort"])
    if operation is Operation.GENERATE:
        values.setdefault("block_length", min(level.block_length, defaults.block_length))
    block = values.get("block_length", defaults.block_length)
    values.setdefault("denoise_steps", min(level.denoise_steps, block))
    if level.threshold is None and "threshold" not in values:
        values.setdefault("reveal", "steps")
    elif level.threshold is not None and values.get("reveal") != "steps":
        values.setdefault("threshold", level.threshold)
    more = operation is Operation.REVISE and level.revise_rounds > DEFAULT_REVISE_ROUNDS
    if operation is Operation.GENERATE or more:
        values.setdefault("revise_rounds", level.revise_rounds)


def _resolve_revising(values: dict[str, Any], operation: Operation) -> None:
    """Fill in how a text, or each block that diffusion fills, is revised."""
    if operation is Operation.INFILL:
        return
    revises = operation is Operation.REVISE
    rounds = values.setdefault("revise_rounds", DEFAULT_REVISE_ROUNDS if revises else 0)
    if revises and not rounds:
        raise RequestError("revise_rounds", "must be at least 1 to revise a text", rounds)
    for name in REVISING if not rounds else ():
        if name in values:
            raise _not_applicable(name, "needs revise_rounds above 0, or text", values[name])
    if rounds and "revise_fraction" not in values and "spans" not in values:
        values.setdefault("revise_threshold", DEFAULT_REVISE_THRESHOLD)


def _resolve_length(values: dict[str, Any], operation: Operation, defaults: Defaults) -> None:
    """Fill in max_tokens, which bounds the sizes of gaps too."""
    if operation is not Operation.INFILL:
        _resolve_least(values, defaults)
        return
    fields = ("infill_tokens", "infill_lengths", "segments")
    field, given = next(((name, values[name]) for name in fields if name in values), ("", None))
    gaps = [given] if field == "infill_tokens" else [gap for gap in given or (None,) if not isinstance(gap, str)]
    sizes = [size for size in gaps if size is not None]
    searched = [LARGEST_SEARCHED_GAP] if None in gaps else []
    most = values.setdefault("max_tokens", max([*sizes, *searched]))
    if most > MAX_GAP_TOKENS:
        raise RequestError("max_tokens", f"must be at most {MAX_GAP_TOKENS} for filling gaps", most)
    if sizes and max(sizes) > most:
        raise RequestError(field, f"must be at most max_tokens = {most}", max(sizes))


def _resolve_least(values: dict[str, Any], defaults: Defaults) -> None:
    """Fill in the most and the least tokens of an answer."""
    if "min_length" in values:
        if "min_tokens" in values:
            raise RequestError("min_length", "is min_tokens again", values["min_length"], error_type="given_twice")
        values["min_tokens"] = values.pop("min_length")
    least = values.setdefault("min_tokens", 0)
    most = values.setdefault("max_tokens", max(defaults.max_tokens, least))
    if least > most:
        raise RequestError("min_tokens", f"must be at most max_tokens = {most}", least)


def _check_tokens(values: Mapping[str, Any], defaults: Defaults) -> None:
    """Refuse tokens that the model does not have."""
    for name in ("input_ids", "logit_bias", "allowed_token_ids", "bad_token_ids"):
        for token in values.get(name, ()):
            if token >= defaults.vocab_size:
                raise RequestError(name, f"must be below the vocabulary size {defaults.vocab_size}", token)
    for token in values.get("stop_token_ids", ()):
        _check_token("stop_token_ids", token, defaults)


def _check_token(name: str, token: int, defaults: Defaults) -> None:
    if token >= defaults.vocab_size:
        raise RequestError(name, f"must be below the vocabulary size {defaults.vocab_size}", token)
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
        raise _not_applicable("max_thinking_tokens", limit, values["max_thinking_tokens"])
