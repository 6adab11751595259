"""The limits of a request: each is refused by name, and the most that fits is served."""

from __future__ import annotations

import pytest
import tokenizers
from tokenizers import models, normalizers
from trimode.config import ServerConfig
from trimode.errors import PromptTooLongError
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from tests.support.refused import refused
from tests.support.runtimes import Build
from tests.support.saying_engine import PROMPT
from tests.support.sink import Sink
from tests.support.toy import ToyEngine, toy_curve


def test_a_text_that_cannot_fit_is_refused_before_it_is_encoded(build: Build) -> None:
    error = refused(build(), text_input="x" * 500_000)
    assert isinstance(error, PromptTooLongError)
    assert str(error) == "text_input must fit the capacity of 512 tokens, got 500000 characters"


def test_a_prompt_without_room_for_a_block_is_refused(build: Build) -> None:
    error = refused(build(), input_ids=[3] * 504, mode="diffusion")
    assert isinstance(error, PromptTooLongError)
    assert "a block of 8 and a token in the capacity of 512 tokens" in error.limit and "504 tokens" in error.given


@pytest.mark.parametrize(
    ("mode", "most"), [("autoregressive", 62), ("auto", 62), ("diffusion", 54), ("self_speculation", 54)]
)
def test_max_tokens_names_what_is_left(build: Build, mode: str, most: int) -> None:
    error = refused(build(), input_ids=[3] * 450, mode=mode, max_tokens=most + 1)
    assert (error.field, error.given, error.error_type) == ("max_tokens", str(most + 1), "prompt_too_long")
    assert f"must be at most {most} (capacity 512 - prompt 450 - block {62 - most})" == error.limit


@pytest.mark.parametrize(
    ("mode", "most"), [("autoregressive", 62), ("auto", 62), ("diffusion", 54), ("self_speculation", 54)]
)
def test_the_most_that_fits_is_served(build: Build, mode: str, most: int) -> None:
    answer = build().generate({"input_ids": [3] * 450, "mode": mode, "max_tokens": most, "end_id": -1})
    assert len(answer.token_ids) == most


@pytest.mark.parametrize("given", [{}, {"max_tokens": None}])
def test_without_max_tokens_the_default_is_cut_to_what_is_left(build: Build, given: dict[str, object]) -> None:
    sink = Sink()
    handle = build().submit({"input_ids": [3] * 450, "end_id": -1, **given}, sink)
    assert handle.params.max_tokens == 62
    assert len(sink.last.token_ids) == 62


def test_the_default_is_the_servers(build: Build) -> None:
    assert build(default_max_tokens=7).submit({"input_ids": PROMPT}, Sink()).params.max_tokens == 7


def test_how_often_a_stream_sends_is_the_servers_unless_it_is_given(build: Build) -> None:
    runtime = build(stream_interval=4)
    asked = {"input_ids": PROMPT, "stream": True, "end_id": -1, "max_tokens": 11, "return_token_ids": True}
    counts = []
    for more in ({}, {"stream_interval": 1}):
        sink = Sink()
        runtime.submit({**asked, "mode": "autoregressive", **more}, sink)
        assert sink.last.finish_reason == "length"
        counts.append([len(chunk.token_ids) for chunk in sink.chunks])
    assert counts == [[1, 4, 4, 2], [1] * 11]


def test_an_empty_text_is_refused(build: Build) -> None:
    assert refused(build(), text_input="").field == "text_input"


def test_a_text_that_encodes_to_nothing_is_refused() -> None:
    backend = tokenizers.Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    backend.normalizer = normalizers.Strip()
    engine = ToyEngine()
    runtime = Runtime(engine, Tokenizer(backend, None, {}), ServerConfig(), curve=toy_curve())
    try:
        assert refused(runtime, text_input="  ").field == "text_input"
        assert engine.calls == 0
    finally:
        runtime.close()


def test_a_chat_that_renders_to_nothing_is_refused(build: Build) -> None:
    error = refused(build(template="{# nothing #}"), messages=[{"role": "user", "content": "a"}])
    assert error.field == "messages"
