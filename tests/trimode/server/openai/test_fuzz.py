"""Requests of any kind: each is translated into requests that generate's own check takes, or refused with a 4xx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.errors import RequestError
from trimode.server.access.turnstile import Visit
from trimode.server.body_check import check_request
from trimode.server.openai import chat_completions, completions, fim_completions
from trimode.server.openai.messages import request as messages
from trimode.server.openai.responses import request as responses
from trimode.server.openai.shared.asked import Asked
from trimode.server.openai.shared.errors import FaceError, face_error
from trimode.server.openai.shared.exchange import dumps
from trimode.server.openai.shared.facts import Facts
from trimode.server.openai.shared.table import Endpoint, rows_of
from trimode.server.openai.tokenize import detokenize, tokenize

from tests.support.openai_facts import facts

Translate = Callable[[dict[str, Any], Facts], Any]
TRANSLATIONS: dict[Endpoint, Translate] = {
    "chat": chat_completions.translate,
    "completions": completions.translate,
    "fim": fim_completions.translate,
    "responses": lambda body, facts: responses.translate(body, facts).asked,
    "messages": messages.translate,
}
WHOLE: dict[Endpoint, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "completions": {"prompt": "Hi"},
    "fim": {"prompt": "Hi"},
    "responses": {"input": "Hi"},
    "messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5},
}
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", "\ud800", "nano", "nano:diffusion", "assistant", "user", "system", "text", "stop", "low", "a" * 400]
    ),
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, 1, -1, 2, 16, 128, 2**31 - 1, 2**31, 2**63, 10**400, 0.5, 1e308, float("inf"), float("nan")]),
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
KEYS = st.one_of(
    TEXTS, st.sampled_from(["role", "content", "type", "text", "enable_thinking", "include_usage", "effort", "user_id"])
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)), max_leaves=8
)


@st.composite
def bodies(draw: st.DrawFn, endpoint: Endpoint) -> dict[str, Any]:
    names = st.one_of(st.sampled_from(sorted(rows_of(endpoint))), TEXTS)
    base = WHOLE[endpoint] if draw(st.integers(0, 9)) else {}
    return {**base, **draw(st.dictionaries(names, VALUES, max_size=4))}


def translated(translate: Translate, body: dict[str, Any]) -> None:
    """Translate a body; what comes of it is whole, or a refusal that can be sent."""
    try:
        asked = translate(body, facts())
        if isinstance(asked, Asked):
            for job in asked.jobs:
                try:
                    check_request(dict(job), "tag", Visit("caller"), streaming=asked.stream)
                except RequestError as exc:
                    raise face_error(exc, asked.names) from exc
    except FaceError as exc:
        assert 400 <= exc.status < 500, exc
        assert exc.message and dumps(exc.body()).encode("utf-8", "replace")


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", TRANSLATIONS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_body_is_translated_or_refused(endpoint: Endpoint, data: st.DataObject) -> None:
    translated(TRANSLATIONS[endpoint], data.draw(bodies(endpoint)))


@pytest.mark.slow
@pytest.mark.subprocess  # a chat template is rendered in a process of its own
@settings(max_examples=100, deadline=None)
@given(body=st.dictionaries(st.sampled_from(["prompt", "messages", "tokens", "model", "return_token_strs"]), VALUES))
def test_any_body_is_tokenized_or_refused(body: dict[str, Any]) -> None:
    translated(tokenize, body)
    translated(detokenize, body)
