"""The table of a request's fields, and the check of one value against its row.

Tensors, documentation and client read this table; how the fields of one request hang together is in params.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Literal

from ..errors import Described, RequestError

Kind = Literal["string", "int", "float", "bool", "strings", "ints", "json"]

MAX_BLOCK_LENGTH = 64
MAX_STOP_WORDS = 16
MAX_GAPS = 16
MAX_GAP_TOKENS = 1024
MAX_GAP_SIZES = 16
MAX_STOP_WORD_CHARACTERS = 256
MAX_TEXT_CHARACTERS = 1_000_000
MAX_INPUT_IDS = 262_144  # the longest context of the family
INT32_MAX = 2**31 - 1


class Mode(StrEnum):
    """How the tokens of one request are made; AUTO leaves it to what is measured to be quickest."""

    AUTO = "auto"
    AUTOREGRESSIVE = "autoregressive"
    DIFFUSION = "diffusion"
    SELF_SPECULATION = "self_speculation"


ACCEPTS = ("likelihood", "always")
ALLOWED = (Mode.DIFFUSION.value,)
REVEALS = ("threshold", "steps", "leftmost", "entropy", "margin")


@dataclass(frozen=True)
class Field:
    """One field of a request: its name on the wire, kind, inclusive range, default in words, and what it does."""

    name: str
    kind: Kind
    default: str
    help: str
    low: float | None = None
    high: float | None = None


FIELDS: tuple[Field, ...] = (
    Field(
        "text_input",
        "string",
        "",
        "The prompt as raw text to go on from, without the chat template: a question belongs into messages. "
        "One of text_input, input_ids, messages, segments, text, no more.",
    ),
    Field("input_ids", "ints", "", "The prompt as token ids.", 0, INT32_MAX),
    Field("messages", "json", "", "The prompt as chat messages, a JSON list of {role, content}."),
    Field(
        "segments",
        "json",
        "",
        'A text with up to 16 gaps, a JSON list of strings and, for each gap, {} or {"infill_tokens": n}.',
    ),
    Field("text", "string", "", "A text to revise; the answer is the text with what was changed, and the edits."),
    Field(
        "enable_thinking",
        "bool",
        "false",
        "With messages: think first; thought and </think> precede the answer.",
    ),
    Field("mode", "string", "auto", "auto, autoregressive, diffusion or self_speculation."),
    Field("auto_allow", "strings", "none", "With auto: what it may choose beside exact text: diffusion."),
    Field("max_tokens", "int", "128, gaps 32", "Most tokens to generate, or to fill a gap with.", 1, INT32_MAX),
    Field(
        "stream",
        "bool",
        "false",
        "Send text as it is committed instead of once at the end; gaps and revisions come at once all the same.",
    ),
    Field(
        "stream_provisional", "bool", "false", "With stream: also send the block after each of its denoising passes."
    ),
    Field("stop_words", "strings", "none", "Generation ends before the first of these texts."),
    Field("end_id", "int", "the model's", "Token that ends the answer; -1 for none.", -1, INT32_MAX),
    Field(
        "effort", "float", "none", "From 0, cheap, to 1, careful: sets diffusion's knobs by a measured table.", 0.0, 1.0
    ),
    Field(
        "block_length",
        "int",
        "the model's",
        "Tokens drafted in parallel; with auto at most. Above the model's own: worse.",
        1,
        MAX_BLOCK_LENGTH,
    ),
    Field(
        "denoise_steps",
        "int",
        "block_length",
        "Upper bound on the passes that refine one block, its revisions included, or a window of a text.",
        1,
        64,
    ),
    Field("threshold", "float", "0.9, drafts 0", "Probability from which a token is kept at once.", 0.0, 1.0),
    Field("reveal", "string", "threshold", "Which masked positions a pass keeps: " + ", ".join(REVEALS) + "."),
    Field("suffix", "string", "none", "Text after a gap: the answer is what stands between the prompt and it."),
    Field(
        "infill_tokens",
        "int",
        "searched",
        "Size of the gap: tokens of the text that fills it, tokenized by itself. Kept to if a filling tried has it.",
        1,
        MAX_GAP_TOKENS,
    ),
    Field(
        "infill_lengths",
        "ints",
        "searched",
        "Up to 16 sizes of the gap to try, as infill_tokens; the likeliest text wins.",
        1,
        MAX_GAP_TOKENS,
    ),
    Field(
        "return_candidates", "bool", "false", "Return infill_candidates: every filling tried, its text and its score."
    ),
    Field("instruction", "string", "none", "With text or gaps: what the text answers, a chat message in front."),
    Field("spans", "json", "all of text", "Parts of text to reconsider, a JSON list of [start, end] in code points."),
    Field("revise_threshold", "float", "-2", "Reconsider tokens of a causal log-probability below this.", -1000.0, 0.0),
    Field(
        "revise_fraction", "float", "none", "Reconsider this share of the tokens instead, the least likely.", 0.0, 1.0
    ),
    Field(
        "revise_rounds",
        "int",
        "text 2, else 0",
        "Most times the text is revised, or each block generated while it has denoise_steps left.",
        0,
        16,
    ),
    Field("accept", "string", "likelihood", "Which changes stay: those with which their block is likelier, or always."),
    Field("draft_adapter", "bool", "if there is one", "Self-speculation drafts with the checkpoint's draft adapter."),
    Field("temperature", "float", "0", "0 picks the most likely token, above it samples.", 0.0, 100.0),
    Field("top_k", "int", "0", "Sample among the k most likely tokens; 0 for all.", 0, INT32_MAX),
    Field("top_p", "float", "1", "Sample among the most likely tokens that hold this much probability.", 0.0, 1.0),
    Field("min_p", "float", "0", "Drop tokens less likely than this share of the most likely one.", 0.0, 1.0),
    Field("seed", "int", "random", "Same seed, same request: same text, whatever else runs. INT64.", 0, 2**63 - 1),
    Field("repetition_penalty", "float", "1", "Above 1 makes tokens already seen less likely.", 0.01, 100.0),
    Field("presence_penalty", "float", "0", "Taken off tokens already generated.", -2.0, 2.0),
    Field("frequency_penalty", "float", "0", "Taken off tokens for each time they were generated.", -2.0, 2.0),
    Field("max_thinking_tokens", "int", "none", "Tokens after which the end of thinking is forced.", 0, INT32_MAX),
    Field("end_think_token_id", "int", "the tokenizer's </think>", "The token that ends thinking.", 0, INT32_MAX),
    Field("timeout_ms", "int", "none", "Time the request may take, queueing included.", 1, INT32_MAX),
    Field("exclude_input_in_output", "bool", "true", "false puts the prompt's text in front of the answer."),
    Field(
        "return_log_probs", "bool", "false", "Return output_log_probs and cum_log_probs, of the tokens of output_ids."
    ),
    Field(
        "return_token_ids",
        "bool",
        "false",
        "Return output_ids; of gaps the tokens chosen, which may begin before a gap and end behind it.",
    ),
    Field("return_num_input_tokens", "bool", "false", "Return num_input_tokens."),
    Field("return_num_output_tokens", "bool", "false", "Return num_output_tokens."),
    Field("return_finish_reason", "bool", "false", "Return finish_reason: stop or length."),
    Field("return_perf_metrics", "bool", "false", "Return the counters of forwards, drafts and acceptance."),
    Field("return_effective_params", "bool", "false", "Return effective_params, the values used, as JSON."),
)
BY_NAME = {field.name: field for field in FIELDS}
PROMPT_FIELDS = ("text_input", "input_ids", "messages", "segments", "text")
_IN_BLOCKS = (Mode.DIFFUSION, Mode.SELF_SPECULATION)
FIELDS_OF_MODES: dict[str, tuple[Mode, ...]] = {
    "auto_allow": (Mode.AUTO,),
    "block_length": (*_IN_BLOCKS, Mode.AUTO),
    "denoise_steps": _IN_BLOCKS,
    "threshold": _IN_BLOCKS,
    "reveal": _IN_BLOCKS,
    "draft_adapter": (Mode.SELF_SPECULATION, Mode.AUTO),
    "effort": (Mode.DIFFUSION,),
    "stream_provisional": (*_IN_BLOCKS, Mode.AUTO),
    **dict.fromkeys(("revise_threshold", "revise_fraction", "revise_rounds", "accept"), (Mode.DIFFUSION,)),
}
"""Fields that not every mode has, and the modes that have them."""


def check_field(name: str, value: object) -> Any:
    """Return `value` in the field's own type, None for None, or raise a RequestError that says what was expected."""
    field = BY_NAME.get(name)
    if field is None:
        near = get_close_matches(name, BY_NAME, n=1)
        limit = "is not a field of this model" + (f"; the nearest is {near[0]}" if near else "")
        raise RequestError(name, limit, value, error_type="unknown_field")
    if value is None:
        return None
    match field.kind:
        case "bool":
            checked: Any = _expect(field, value, bool, "must be true or false")
        case "int":
            checked = _in_range(field, _expect(field, value, int, "must be an integer"))
        case "float":
            checked = _number(field, value)
        case "string":
            checked = _text(field, value)
        case "strings":
            checked = _allowed(field, value) if name == "auto_allow" else _stop_words(field, value)
        case "ints":
            checked = _sizes(field, value) if name == "infill_lengths" else _integers(field, value)
        case "json":
            checked = _JSON[name](field, value)
    if name == "mode":
        return _choice(field, checked, Mode)
    if name == "accept" and checked not in ACCEPTS:
        raise RequestError(name, "must be one of " + ", ".join(ACCEPTS), value)
    if name == "reveal" and checked not in REVEALS:
        raise RequestError(name, "must be one of " + ", ".join(REVEALS), value)
    return checked


def _expect(field: Field, value: object, kind: type, limit: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RequestError(field.name, limit, value, error_type="wrong_type")
    return value


def _number(field: Field, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(field.name, "must be a number", value, error_type="wrong_type")
    if isinstance(value, float) and not math.isfinite(value):
        raise RequestError(field.name, "must be finite", value)
    return float(_in_range(field, value))


def _in_range(field: Field, value: Any) -> Any:
    below = field.low is not None and value < field.low
    above = field.high is not None and value > field.high
    if below or above:
        raise RequestError(field.name, f"must be between {field.low} and {field.high}", value)
    return value


def _text(field: Field, value: object) -> str:
    text: str = _expect(field, value, str, "must be a string")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise RequestError(
            field.name, f"must be at most {MAX_TEXT_CHARACTERS} characters", Described(f"{len(text)} characters")
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise RequestError(field.name, "must be valid Unicode text", text, error_type="bad_utf8") from exc
    return text


def _list(field: Field, value: object) -> list[object]:
    if not isinstance(value, list | tuple):
        raise RequestError(field.name, "must be a list", value, error_type="wrong_type")
    if not value:
        raise RequestError(field.name, "must not be empty", value)
    return list(value)


def _integers(field: Field, value: object) -> tuple[int, ...]:
    items = _list(field, value)
    if len(items) > MAX_INPUT_IDS:
        raise RequestError(field.name, f"may hold at most {MAX_INPUT_IDS} ids", Described(f"{len(items)} ids"))
    return tuple(_in_range(field, _expect(field, item, int, "must hold integers")) for item in items)


def _sizes(field: Field, value: object) -> tuple[int, ...]:
    """Return the sizes of a gap to try, each once, the smallest first."""
    sizes = tuple(sorted(set(_integers(field, value))))
    if len(sizes) > MAX_GAP_SIZES:
        raise RequestError(field.name, f"may hold at most {MAX_GAP_SIZES} sizes", Described(f"{len(sizes)} sizes"))
    return sizes


def _allowed(field: Field, value: object) -> tuple[str, ...]:
    for mode in (modes := _list(field, value)):
        if _text(field, mode) not in ALLOWED:
            raise RequestError(field.name, "may hold only " + ", ".join(ALLOWED), mode)
    return tuple(dict.fromkeys(map(str, modes)))


def _stop_words(field: Field, value: object) -> tuple[str, ...]:
    words = tuple(_text(field, word) for word in _list(field, value))
    if len(words) > MAX_STOP_WORDS:
        raise RequestError(field.name, f"may hold at most {MAX_STOP_WORDS} texts", Described(f"{len(words)} texts"))
    for word in words:
        if not 1 <= len(word) <= MAX_STOP_WORD_CHARACTERS:
            raise RequestError(field.name, f"must hold texts of 1 to {MAX_STOP_WORD_CHARACTERS} characters", word)
    return words


def _json(field: Field, value: object) -> list[object]:
    """Return a JSON list, given as text or as the list itself."""
    if isinstance(value, str):
        text = _text(field, value)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise RequestError(field.name, f"must be valid JSON ({exc})", text, error_type="bad_json") from exc
    return _list(field, value)


def _segments(field: Field, value: object) -> tuple[str | int | None, ...]:
    """Return strings and, for each gap, its size in tokens or None."""
    checked: list[str | int | None] = []
    for item in _json(field, value):
        if isinstance(item, str):
            checked.append(_text(field, item))
        elif isinstance(item, Mapping) and not set(item) - {"infill_tokens"}:
            checked.append(check_field("infill_tokens", item.get("infill_tokens")))
        else:
            raise RequestError(field.name, "must hold strings and objects with the key infill_tokens or none", item)
    gaps = sum(not isinstance(item, str) for item in checked)
    if not 1 <= gaps <= MAX_GAPS:
        raise RequestError(field.name, f"must hold 1 to {MAX_GAPS} gaps", Described(f"{gaps} gaps"))
    return tuple(checked)


def _messages(field: Field, value: object) -> tuple[Mapping[str, Any], ...]:
    messages = _json(field, value)
    for at, message in enumerate(messages):
        if not isinstance(message, Mapping) or set(message) - {"role", "content"} or "role" not in message:
            raise RequestError(field.name, "must hold objects with the keys role and content", message)
        if message["role"] not in ("system", "user", "assistant"):
            raise RequestError(f"messages[{at}].role", "must be system, user or assistant", message["role"])
        content = replace(field, name=f"messages[{at}].content")
        if "content" not in message:
            raise RequestError(content.name, "must be a string", Described("nothing"), error_type="wrong_type")
        _text(content, message["content"])
    return tuple(messages)  # type: ignore[arg-type]  # each was shown to be a Mapping above


def _spans(field: Field, value: object) -> tuple[tuple[int, int], ...]:
    checked: list[tuple[int, int]] = []
    for item in _json(field, value):
        if not (
            isinstance(item, list | tuple)
            and len(item) == 2
            and all(isinstance(end, int) and not isinstance(end, bool) for end in item)
        ):
            raise RequestError(field.name, "must hold pairs [start, end] of integers", item, error_type="wrong_type")
        start, end = item
        if not 0 <= start < end:
            raise RequestError(field.name, "must hold pairs with 0 <= start < end", item)
        if checked and start < checked[-1][1]:
            limit = f"must be in order and not overlap; the one before ends at {checked[-1][1]}"
            raise RequestError(field.name, limit, item)
        checked.append((start, end))
    return tuple(checked)


_JSON: dict[str, Callable[[Field, object], Any]] = {"messages": _messages, "segments": _segments, "spans": _spans}


def _choice(field: Field, value: str, choices: type[Mode]) -> Mode:
    try:
        return choices(value)
    except ValueError as exc:
        raise RequestError(field.name, "must be one of " + ", ".join(choices), value) from exc
