"""The guide of a request: where its text begins, and what may end it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from trimode.decoding.guide import Guide
from trimode.requests.guides import guide_of
from trimode.runtime import Runtime

from tests.support.toy import EOS, ToyEngine, running

pytestmark = pytest.mark.subprocess

LETTER = 5  # a byte of text
CHAT = [{"role": "user", "content": "?"}]


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    with running(ToyEngine(), "{% for m in messages %}{{ m.content }}{% endfor %}") as made:
        yield made


def guide(runtime: Runtime, **asked: Any) -> Guide | None:
    given = {"guided_decoding_guide_type": "regex", "guided_decoding_guide": "[a-z]*", "messages": CHAT, **asked}
    done = runtime.check(given, print).params
    return guide_of(done, runtime.services)


def test_a_free_answer_has_none(runtime: Runtime) -> None:
    assert guide(runtime, guided_decoding_guide_type=None, guided_decoding_guide=None) is None


def test_the_text_begins_at_once_unless_the_model_thinks_first(runtime: Runtime) -> None:
    begun = [*CHAT, {"role": "assistant", "content": "thought</think>"}]
    for waits, asked in (
        (False, {}),
        (True, {"enable_thinking": True}),
        (True, {"max_thinking_tokens": 4}),
        (False, {"enable_thinking": True, "messages": begun, "continue_final_message": True}),
    ):
        found = guide(runtime, **asked)
        assert found is not None
        assert found.waits == waits


def test_the_end_token_ends_it_and_a_letter_is_text_even_if_it_stops(runtime: Runtime) -> None:
    found = guide(runtime, stop_token_ids=[LETTER])
    assert found is not None
    assert found.fits(EOS)
    other = guide(runtime, end_id=-1)
    assert other is not None
    assert not other.fits(EOS)
