"""Requests to revise a text: spans to tokens, tokens to edits, what is refused, and what comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from trimode.api.answer import Edit
from trimode.errors import CancelledError, DeadlineError, EngineError, RequestError
from trimode.requests.spans import Original, apply_edits
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from tests.support.knowing_engine import KnowingEngine
from tests.support.sink import Sink
from tests.support.tokenizers import TOKENIZER
from tests.support.toy import ToyEngine, toy_config, toy_curve, toy_runtime

WAIT = 5.0


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = toy_runtime(ToyEngine(), "<{{ messages[0].content }}>")
    yield made
    made.close()


def test_without_a_tokenizer_nothing_is_revised() -> None:
    runtime = Runtime(ToyEngine(), None, toy_config(), curve=toy_curve())
    try:
        with pytest.raises(RequestError, match="text needs a checkpoint with a tokenizer"):
            runtime.generate({"text": "a"})
    finally:
        runtime.close()


# Requests


def test_the_answer_is_the_text_with_its_edits(runtime: Runtime) -> None:
    text = "hello world, é🙂 and more"
    answer = runtime.generate({"text": text, "accept": "always", "spans": [[0, 5], [13, 15]], "seed": 3})
    assert answer.edits and answer.text == apply_edits(text, answer.edits)
    assert (
        answer.text.startswith(answer.edits[0].after)
        and text[5:13] in answer.text
        and answer.text.endswith(" and more")
    )
    assert all(edit.end <= 5 or 13 <= edit.start < edit.end <= 15 for edit in answer.edits)
    assert answer.num_input_tokens == answer.counters.output_tokens == len(TOKENIZER.encode(text))


def test_what_is_already_right_is_left_alone() -> None:
    runtime = toy_runtime(KnowingEngine("hello world"))
    try:
        answer = runtime.generate({"text": "hello world", "revise_rounds": 9})
        assert (answer.text, answer.edits, answer.counters.denoise_forwards) == ("hello world", [], 0)
    finally:
        runtime.close()


def test_what_is_wrong_is_mended() -> None:
    runtime = toy_runtime(KnowingEngine("hello world, says Zoé"))
    try:
        answer = runtime.generate({"text": "hello wxrld, says Zoè"})
        assert answer.text == "hello world, says Zoé"
        assert answer.edits == [Edit(7, 8, "x", "o"), Edit(20, 21, "è", "é")]
    finally:
        runtime.close()


def test_an_instruction_is_seen_and_counted_and_does_not_come_back(runtime: Runtime) -> None:
    answer = runtime.generate({"text": "abc", "instruction": "q", "accept": "always", "revise_fraction": 1.0})
    assert answer.num_input_tokens == len("<q>abc")
    assert answer.counters.prefill_forwards == 1 and answer.counters.output_tokens == 3


def test_a_stream_is_one_chunk(runtime: Runtime) -> None:
    sink = Sink()
    runtime.submit({"text": "abcdef", "stream": True, "return_token_ids": True}, sink)
    assert len(sink.only.token_ids) == 6


def test_a_defect_while_the_text_is_put_together_is_answered(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Original, after: list[int], tokenizer: Tokenizer) -> list[Edit]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Original, "edits", broken)
    with pytest.raises(EngineError, match="log says why") as caught:
        runtime.generate({"text": "abcdef", "accept": "always"})
    assert "a bug" not in str(caught.value) and "ZeroDivisionError: a bug" in caplog.text


@pytest.mark.parametrize("call", [0, 1, 2, 3, 4])
def test_cancelled_at_any_moment_it_is_answered_once(call: int) -> None:
    engine, sink = KnowingEngine("x" * 99), Sink()
    runtime = toy_runtime(engine)
    try:
        engine.gate.clear()
        asked = {"text": "y" * 99, "accept": "always", "revise_rounds": 16}
        handle = runtime.submit(asked, sink)
        left = iter(range(call, -1, -1))
        engine.before = lambda rows: handle.cancel() if next(left, -1) == 0 else None
        engine.gate.set()
        assert isinstance(sink.only.error, CancelledError)
        assert sink.only.num_input_tokens == 99
    finally:
        runtime.close()
    assert not engine._slots


def test_a_deadline_ends_it() -> None:
    engine, sink = KnowingEngine("x" * 99), Sink()
    runtime = toy_runtime(engine)
    try:
        engine.gate.clear()
        runtime.submit({"text": "y" * 99, "timeout_ms": 1}, sink)
        threading.Event().wait(0.01)
        engine.gate.set()
        assert isinstance(sink.only.error, DeadlineError)
    finally:
        runtime.close()
