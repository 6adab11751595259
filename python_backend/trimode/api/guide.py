"""What an answer must match: its rows of the table, and how they go together. Knows no grammar."""

from __future__ import annotations

from typing import Any, Literal, get_args

from ..errors import RequestError
from .field import Field

GuideType = Literal["json", "json_schema", "regex", "choice", "ebnf_grammar", "structural_tag"]
"""What guided_decoding_guide holds: TensorRT-LLM's names, and choice, which vLLM has."""
GuideScope = Literal["gap", "whole"]
"""What guided_decoding_guide is about where gaps are filled."""
GUIDE_SCOPES: tuple[GuideScope, ...] = get_args(GuideScope)
GUIDE_TYPES: tuple[GuideType, ...] = get_args(GuideType)
OF_JSON: tuple[GuideType, ...] = ("json", "json_schema")
MAX_GUIDE_CHARACTERS = 262_144
"""Of a grammar; the largest of those that are published for JSON have some ten thousand, and one that is made of 128
functions has some hundred thousand."""

GUIDE_FIELDS: tuple[Field, ...] = (
    Field(
        "guided_decoding_guide_type",
        "string",
        "none",
        "What the answer must match, and what guided_decoding_guide holds of it: json, any JSON object, without a "
        "guide; json_schema, a JSON schema; regex, a regular expression; choice, a JSON list of texts, of which the "
        "answer is one; ebnf_grammar, a grammar in the notation of Lark or GBNF; structural_tag, words in which JSON "
        "stands between texts, in the form of vLLM. A thought is not part of the answer.",
        choices=GUIDE_TYPES,
        empty_is_none=True,
    ),
    Field(
        "guided_decoding_guide",
        "string",
        "none",
        "With guided_decoding_guide_type: the schema, expression, list, grammar or tags.",
        most_characters=MAX_GUIDE_CHARACTERS,
        empty_is_none=True,
    ),
    Field(
        "guided_decoding_scope",
        "string",
        "gap",
        "With gaps and guided_decoding_guide_type: gap, each filling matches by itself; whole, the text as a whole "
        "does, with its gaps filled and without instruction and earlier messages.",
        choices=GUIDE_SCOPES,
    ),
    Field(
        "disable_any_whitespace",
        "bool",
        "false",
        "With guided_decoding_guide_type json or json_schema: true leaves no whitespace between the parts of JSON.",
    ),
)


def resolve_guide(values: dict[str, Any]) -> None:
    """Check what the answer must match; what is generated so is decided from the left, so that no rule leaves gaps.

    Raises:
        RequestError: one of the two fields is missing, or the end of a thought could not be found.
    """
    kind, guide = values.get("guided_decoding_guide_type"), values.get("guided_decoding_guide")
    if values.get("disable_any_whitespace") and kind not in OF_JSON:
        raise _refused("disable_any_whitespace", "needs guided_decoding_guide_type json or json_schema", True)
    if kind is None:
        for name in ("guided_decoding_guide", "guided_decoding_scope"):
            if values.get(name) is not None:
                raise _refused(name, "needs guided_decoding_guide_type", values[name])
        return
    if "suffix" in values or "segments" in values:
        values.setdefault("guided_decoding_scope", "gap")
    if guide is None and kind != "json":
        raise _refused("guided_decoding_guide_type", "needs guided_decoding_guide unless it is json", kind)
    if guide is not None and kind == "json":
        raise _refused("guided_decoding_guide", "does not apply to guided_decoding_guide_type json", guide)
    thinks = values.get("enable_thinking") or values.get("max_thinking_tokens") is not None
    if thinks and values["end_think_token_id"] is None:
        limit = "needs end_think_token_id where the model thinks first: this model's tokenizer has no </think>"
        raise _refused("guided_decoding_guide_type", limit, kind)
    if "text" not in values:
        values["reveal"] = "leftmost"


def _refused(field: str, limit: str, given: object) -> RequestError:
    return RequestError(field, limit, given, error_type="not_applicable")
