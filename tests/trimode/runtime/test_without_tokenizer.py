"""A runtime without a tokenizer: token ids work, and every text is refused by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from trimode.config import ServerConfig
from trimode.runtime import Runtime

from tests.support.refused import refused
from tests.support.saying_engine import PROMPT
from tests.support.toy import ToyEngine, toy_curve


@pytest.fixture
def bare() -> Iterator[Runtime]:
    runtime = Runtime(ToyEngine(), None, ServerConfig(), curve=toy_curve())
    yield runtime
    runtime.close()


def test_without_a_tokenizer_ids_still_work(bare: Runtime) -> None:
    answer = bare.generate({"input_ids": PROMPT, "max_tokens": 3, "end_id": -1})
    assert (answer.text, len(answer.token_ids)) == ("", 3)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"text_input": "hi"}, "text_input"),
        ({"messages": [{"role": "user", "content": "a"}]}, "messages"),
        ({"input_ids": PROMPT, "stop_words": ["a"]}, "stop_words"),
        ({"input_ids": PROMPT, "max_thinking_tokens": 3}, "max_thinking_tokens"),
    ],
)
def test_without_a_tokenizer_texts_are_refused(bare: Runtime, given: dict[str, object], field: str) -> None:
    error = refused(bare, **given)
    assert (error.field, error.error_type) == (field, "not_applicable")
