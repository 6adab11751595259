"""What a soak asks: every operation, mode and form, the same each time, also in OpenAI's words."""

from __future__ import annotations

import json
from typing import Any

from trimode_perf.common.prompts import Prompt
from trimode_perf.soak.requests import LENGTHS, MODES, Request, as_openai, catalogue

PROMPTS = [
    *(Prompt("sum", ({"role": "user", "content": f"What is {at} + 1?"},), answer="so it is " * 12) for at in range(24)),
    *(Prompt("code", text=f"import {at}, and more of that kind") for at in range(12)),
]


def fields_of(kind: str) -> list[dict[str, Any]]:
    return [request.fields for request in catalogue(PROMPTS) if request.kind.startswith(kind)]


def test_the_requests_are_the_same_each_time_and_others_for_another_seed() -> None:
    assert catalogue(PROMPTS) == catalogue(PROMPTS)
    assert catalogue(PROMPTS) != catalogue(PROMPTS, seed=1)


def test_every_mode_operation_and_form_is_asked() -> None:
    requests = catalogue(PROMPTS)
    assert {json.dumps({name: one.fields.get(name) for name in mode}) for one in requests for mode in MODES}
    for mode in MODES:
        assert [one for one in requests if one.fields.items() >= mode.items()], mode
    assert all(fields_of(kind) for kind in ("a chat", "a text", "one gap", "two gaps", "a revision", "an answer of"))
    assert {len(fields["input_ids"]) for fields in fields_of("a prompt of ids")} == set(LENGTHS)
    assert [one for one in requests if "seed" in one.fields]


def test_openai_is_asked_for_the_same_answer() -> None:
    chat = next(one for one in catalogue(PROMPTS) if one.kind == "a chat, autoregressive")
    body = as_openai(chat, "nano")
    assert body["model"] == "nano:autoregressive"
    assert body["messages"] == json.loads(chat.fields["messages"])
    assert body["max_tokens"] == chat.fields["max_tokens"]
    text = as_openai(Request("a text", {"text_input": "import", "mode": "auto"}, "completions"), "nano")
    assert text == {"model": "nano:auto", "prompt": "import"}
