"""The page of the OpenAI face: what each endpoint does with each field, from the face's own table."""

from __future__ import annotations

import json

from trimode.api.choice_fields import MAX_BIAS, MAX_BIASES
from trimode.api.fields import MAX_GAP_TOKENS, MAX_STOP_WORD_CHARACTERS, MAX_STOP_WORDS, MAX_TOP_LOG_PROBS
from trimode.server.openai.shared.table import (
    MAX_CHOICES,
    MAX_CUTS,
    MAX_TEMPERATURE,
    MAX_TEXT_LOGPROBS,
    TABLE,
    Endpoint,
    Row,
    Treatment,
)
from trimode.server.openai.shared.work import AT_ONCE

from .markdown import code, codes, paragraphs, plain, prose, table

PATHS: dict[Endpoint, str] = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "fim": "/v1/fim/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}

INTRODUCTION = """
# OpenAI's API

What each endpoint does with each field of a request. [The guide](../guides/openai.md) shows how to ask.
A field whose value is null counts as left out. A name that is in no table is refused with `unknown_field`, and the
message suggests the nearest name.
"""

DEFAULTS = (
    ("`model`", "the first served name, in the mode that model.yaml gives"),
    (
        "`temperature`, `top_p`",
        "those of the checkpoint's generation_config.json if it has them, otherwise 0 and 1: the most likely token",
    ),
    (
        "`max_tokens`",
        "what the context leaves after the prompt and, in diffusion and self-speculation, one block; of a gap, 32. "
        "`/v1/messages` requires it",
    ),
    ("thinking", "off"),
    ("`seed`", "random"),
)

MEANINGS: dict[Treatment, tuple[str, str]] = {
    "served": ("Served", "These do what OpenAI, vLLM, Mistral or Anthropic say."),
    "passed on": (
        "Passed on",
        "The server's own fields are keys of the request, and go to `generate` as they are: "
        "[Parameters](parameters.md) explains them. `return_perf_metrics` and `return_effective_params` add an object "
        "`trimode` to the choice, and `stream_provisional` adds one to chunks: `provisional` is the block after the "
        "last pass and `earlier`, where passes travel together, a list of those before it.",
    ),
    "without effect": ("Accepted without effect", "They are accepted with any value, and change nothing."),
    "refused": (
        "Refused",
        "They would change the answer, and the server cannot do that. They are refused by name, with the status 400 "
        "and the code `not_applicable`, unless the value asks for nothing.",
    ),
}


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION, "## Endpoints", _endpoints(), "## Defaults", table(("field", "default"), DEFAULTS)]
    parts += ["## Limits", table(("of", "limit"), _limits())]
    for treatment, (title, text) in MEANINGS.items():
        rows = [row for row in TABLE if row.treatment == treatment]
        parts += [f"## {title}", prose(text), _table(rows, treatment)]
    return paragraphs(*parts)


def _endpoints() -> str:
    return table(("in the tables", "endpoint"), [(name, code(path)) for name, path in PATHS.items()])


def _limits() -> list[tuple[str, str]]:
    return [
        ("prompts of a request times `n` or `best_of`", f"{MAX_CHOICES}; {AT_ONCE} of them run at once"),
        ("`temperature`", f"0 to {MAX_TEMPERATURE:g}; `generate` takes up to 100"),
        ("`stop`", f"{MAX_STOP_WORDS} texts of 1 to {MAX_STOP_WORD_CHARACTERS} characters; of a gap {MAX_CUTS}"),
        ("`max_tokens` of a gap", f"{MAX_GAP_TOKENS}; a larger value counts as this one"),
        ("`logprobs` of completions; `top_logprobs`", f"{MAX_TEXT_LOGPROBS}; {MAX_TOP_LOG_PROBS}"),
        ("`logit_bias`", f"{MAX_BIASES} tokens, each from {-MAX_BIAS:g} to {MAX_BIAS:g}"),
        ("the body", "`--max-body-mib`, 8 MiB if it is not given"),
    ]


def _table(rows: list[Row], treatment: Treatment) -> str:
    if treatment == "passed on":
        shown = [(f"[{code(row.name)}](parameters.md#{row.name})", _where(row), plain(row.text)) for row in rows]
        return table(("field", "endpoints", "what it does"), shown)
    if treatment == "refused":
        refused = [(code(row.name), _where(row), _accepted(row), plain(row.text)) for row in rows]
        return table(("field", "endpoints", "accepted values", "why"), refused)
    return table(
        ("field", "endpoints", "what it does"), [(code(row.name), _where(row), plain(row.text)) for row in rows]
    )


def _where(row: Row) -> str:
    return "all" if len(row.endpoints) == len(PATHS) else ", ".join(row.endpoints)


def _accepted(row: Row) -> str:
    return codes(json.dumps(value) for value in (None, *row.neutral))
