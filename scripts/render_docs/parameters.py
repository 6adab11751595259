"""The page of a request's fields, from api/fields.py and api/applicability.py."""

from __future__ import annotations

from trimode.api.applicability import FIELDS_OF_MODES, NOT_OF_OPERATIONS, fields_of_others
from trimode.api.choice_fields import MAX_BAD_WORD_CHARACTERS, MAX_BAD_WORDS, MAX_BIAS, MAX_BIASES, MAX_STOP_TOKENS
from trimode.api.fields import (
    BY_NAME,
    FIELDS,
    INT32_MAX,
    MAX_GAP_SIZES,
    MAX_GAPS,
    MAX_INPUT_IDS,
    MAX_STOP_WORD_CHARACTERS,
    MAX_STOP_WORDS,
    MAX_TEXT_CHARACTERS,
    PROMPT_FIELDS,
    Field,
    Mode,
    Operation,
)
from trimode.api.tensors import INPUTS, MODEL_NAME, Tensor

from .markdown import NOTHING, code, codes, number, paragraphs, plain, prose, table

SECTIONS: dict[str, tuple[str, ...]] = {
    "Prompt": (
        *("text_input", "input_ids", "messages", "segments", "text", "suffix", "instruction"),
        *("enable_thinking", "continue_final_message", "allow_special_tokens"),
    ),
    "Pictures": ("image_bytes_input", "image_url_input", "max_image_size"),
    "Mode": ("mode", "auto_allow", "effort", "speculation", "draft_adapter", "prediction", "prompt_lookup"),
    "Length and stop": (
        *("max_tokens", "min_tokens", "min_length", "stop_words", "end_id", "stop_token_ids"),
        *("include_stop_str_in_output", "max_thinking_tokens", "end_think_token_id"),
    ),
    "Block and steps": ("block_length", "denoise_steps", "threshold", "reveal"),
    "Sampling": (
        *("temperature", "top_k", "top_p", "min_p", "seed"),
        *("repetition_penalty", "presence_penalty", "frequency_penalty"),
    ),
    "Tokens that may be chosen": ("logit_bias", "allowed_token_ids", "bad_token_ids", "bad_words"),
    "Form of the answer": (
        *("guided_decoding_guide_type", "guided_decoding_guide", "guided_decoding_scope", "disable_any_whitespace"),
    ),
    "Gaps": ("infill_tokens", "infill_lengths", "return_candidates"),
    "Revising": ("spans", "revise_threshold", "revise_fraction", "revise_rounds", "accept"),
    "Output": (
        *("stream", "stream_interval", "stream_interval_ms", "stream_provisional", "exclude_input_in_output"),
        *("skip_special_tokens", "log_probs_kind", "top_log_probs"),
        *(field.name for field in FIELDS if field.name.startswith("return_") and field.name != "return_candidates"),
    ),
    "Limits and turns": ("timeout_ms", "priority", "user", "cache_salt"),
}
"""The sections of the page and their fields; every field stands in one."""

JSON_TYPES = {
    "string": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "strings": "list of strings",
    "ints": "list of integers",
    "json": "list, or a string that holds one",
    "object": "object, or a string that holds one",
}
TRITON_TYPES = {"TYPE_STRING": "BYTES"}
"""Triton's names on the wire, where they are not those of config.pbtxt without TYPE_."""

INTRODUCTION = f"""
# Request parameters

A request is a set of named fields. It needs a prompt; every other field has a default. A field that does not exist, or
that does not apply to what the request asks for, is refused with an [error](errors.md) that names the field, the limit
and the value. Ask for [`return_effective_params`](#return_effective_params) to see the values that were used.

## How fields are sent

**As JSON over HTTP.** The body of `POST /v2/models/{MODEL_NAME}/generate` (one answer) and
`POST /v2/models/{MODEL_NAME}/generate_stream` (server-sent events) is one JSON object with a key for each
field. `null` is the same as leaving the field out. A key may stand in the body once, and a field may also stand in an
object under the key `parameters`. The key `id`, a string, names the request.

**As tensors over gRPC.** The model answers `ModelStreamInfer` only, because it is decoupled. Each field is an input
tensor of the datatype and shape below, with `[n]` for any length. Text is BYTES in UTF-8. A field whose JSON type is
"list, or a string that holds one" is one element of BYTES that holds the list as JSON; so it is with an object. All
inputs are optional.
"""

OPERATIONS = {
    Operation.GENERATE: ("`text_input`, `input_ids` or `messages`", "a text that follows the prompt"),
    Operation.INFILL: (
        "`segments`; or `suffix` with `text_input` or `messages`",
        "the texts that fill the gaps",
    ),
    Operation.REVISE: ("`text`", "the text with its unlikely tokens reconsidered, and the edits"),
}


def page() -> str:
    """Return the page."""
    asked = [name for names in SECTIONS.values() for name in names]
    if sorted(asked) != sorted(BY_NAME):
        raise SystemExit(f"SECTIONS must hold every field once, not {sorted(set(asked) ^ set(BY_NAME))}")
    parts = [INTRODUCTION, _operations()]
    for section, names in SECTIONS.items():
        parts.append(f"## {section}")
        parts += [_entry(BY_NAME[name]) for name in names]
    return paragraphs(*parts)


def _operations() -> str:
    rows = [(code(operation), *OPERATIONS[operation]) for operation in Operation]
    return paragraphs(
        "## Operations and modes",
        "The fields that hold the prompt decide what the request asks for:",
        table(("operation", "asked for by", "answer"), rows),
        prose(
            f"To generate, a request is decoded in one of the modes {codes(Mode)}. Gaps are filled and texts are "
            "revised by diffusion; `mode` is then left out, or is `diffusion` or `auto`. Under each field, "
            "*applies to* says which operations have it and, if not every mode does, which modes."
        ),
    )


def _entry(field: Field) -> str:
    tensor = next(tensor for tensor in INPUTS if tensor.name == field.name)
    default = plain(field.default) or NOTHING
    row = (JSON_TYPES[field.kind], wire_type(tensor), limits(field), default, applies_in_words(field))
    return paragraphs(
        f"### {code(field.name)}",
        prose(plain(field.help)),
        table(("JSON", "tensor", "range", "default", "applies to"), [row]),
    )


def wire_type(tensor: Tensor) -> str:
    """Return Triton's datatype and shape, such as `INT32 [1]`."""
    data_type = TRITON_TYPES.get(tensor.data_type, tensor.data_type.removeprefix("TYPE_"))
    return f"{data_type} [{'n' if tensor.length == -1 else tensor.length}]"


def limits(field: Field) -> str:
    """Return the range of a field in words."""
    one = codes(field.choices) + (", and those that the server adds" if field.more_choices else "")
    if not one and field.low is not None:
        bounded = field.high is not None and field.high < INT32_MAX
        one = f"{number(field.low)} to {number(field.high or 0)}" if bounded else f"{number(field.low)} or more"
    match field.name:
        case "input_ids":
            return f"1 to {number(MAX_INPUT_IDS)} ids below the size of the vocabulary"
        case "stop_words":
            return f"1 to {MAX_STOP_WORDS} texts of 1 to {MAX_STOP_WORD_CHARACTERS} characters"
        case "bad_words":
            return f"at most {MAX_BAD_WORDS} texts of 1 to {MAX_BAD_WORD_CHARACTERS} characters"
        case "logit_bias":
            return f"at most {MAX_BIASES} tokens, each {-MAX_BIAS:g} to {MAX_BIAS:g}"
        case "stop_token_ids":
            return f"at most {MAX_STOP_TOKENS} ids below the size of the vocabulary"
        case "allowed_token_ids" | "bad_token_ids":
            return f"at most {number(MAX_INPUT_IDS)} ids below the size of the vocabulary"
        case "infill_lengths":
            return f"1 to {MAX_GAP_SIZES} sizes, each {one}"
        case "segments":
            return f"1 to {MAX_GAPS} gaps"
    if field.kind == "string" and not one:
        return f"at most {number(field.most_characters or MAX_TEXT_CHARACTERS)} characters"
    return one or NOTHING


def applies(name: str) -> dict[Operation, tuple[Mode, ...]]:
    """Return the operations that have the field, each with the modes in which it has it."""
    modes = FIELDS_OF_MODES.get(name, tuple(Mode))
    found: dict[Operation, tuple[Mode, ...]] = {}
    for operation in Operation:
        if name in fields_of_others(operation) or name in NOT_OF_OPERATIONS.get(operation, ()):
            continue
        if operation is Operation.REVISE and name in PROMPT_FIELDS and name != "text":
            continue  # a request has one prompt
        if operation is Operation.GENERATE:
            found[operation] = modes
        elif Mode.DIFFUSION in modes:
            found[operation] = (Mode.DIFFUSION,)
    return found


def applies_in_words(field: Field) -> str:
    """Return where a field applies, such as `generate in diffusion; infill`."""
    found = applies(field.name)
    if len(found) == len(Operation) and found[Operation.GENERATE] == tuple(Mode):
        return "every request"
    words = []
    for operation, modes in found.items():
        every = operation is not Operation.GENERATE or set(modes) == set(Mode)
        words.append(f"{operation}" if every else f"{operation} in {', '.join(mode for mode in Mode if mode in modes)}")
    return "; ".join(words)
