"""How a request to fill gaps ends: refused, failed, cancelled, late or shut down, and answered exactly once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from trimode.engines.base import Row
from trimode.errors import CancelledError, DeadlineError, EngineError, OverloadedError, RequestError
from trimode.requests.gap_search import GapSearch
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from tests.support.knowing_engine import KnowingEngine
from tests.support.sink import Sink
from tests.support.toy import ToyEngine, byte_tokenizer, toy_config, toy_curve

WAIT = 5.0
TOKENIZER = byte_tokenizer()
OPEN = {"text_input": "abc", "suffix": "def"}
"""A search over sizes 1, 2, 4, 8, 16, 32 and then some between."""


Build = Callable[..., Runtime]


def settled(runtime: Runtime, engine: ToyEngine) -> bool:
    """Whether nothing is left behind once all that was cancelled has ended."""
    sink = Sink()
    runtime.submit({"input_ids": [3], "max_tokens": 1}, sink)
    assert sink.done.wait(WAIT)
    runtime.close()
    return not engine._slots and runtime.stats().waiting == runtime.stats().running == 0


# Ends


def test_an_empty_text_is_refused_only_without_a_suffix(build: Build) -> None:
    runtime = build()
    assert len(runtime.generate({"text_input": "", "suffix": "", "infill_tokens": 3}).token_ids) == 3
    with pytest.raises(RequestError, match="must not be empty"):
        runtime.generate({"text_input": ""})


def test_without_a_tokenizer_there_are_no_gaps() -> None:
    runtime = Runtime(ToyEngine(), None, toy_config(), curve=toy_curve())
    try:
        with pytest.raises(RequestError, match="text_input needs a checkpoint with a tokenizer"):
            runtime.generate(OPEN)
    finally:
        runtime.close()


def test_one_size_that_fails_ends_the_request_once(build: Build) -> None:
    engine, sink = KnowingEngine("abcWXYZdef"), Sink()
    failures = [EngineError("broken")]

    def fail_once(rows: Sequence[Row]) -> None:
        if rows[0].sees == "block" and failures:
            raise failures.pop()

    engine.before = fail_once
    runtime = build(engine, max_slots=2)
    runtime.submit(OPEN, sink)
    assert str(sink.only.error) == "a decoding step failed; the server's log says why"
    assert settled(runtime, engine) and len(sink.chunks) == 1


def test_a_defect_between_gaps_ends_the_request_once(
    build: Build, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: GapSearch) -> tuple[int, ...]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(GapSearch, "next_sizes", broken)
    sink = Sink()
    build().submit({**OPEN, "infill_tokens": 2}, sink)
    assert isinstance(sink.only.error, EngineError) and "a bug" not in str(sink.only.error)
    assert "a gap could not be filled" in caplog.text and "ZeroDivisionError: a bug" in caplog.text


def test_a_defect_in_reading_a_gap_ends_the_request_once(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Tokenizer, ids: Sequence[int]) -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Tokenizer, "decode", broken)
    engine, sink = ToyEngine(), Sink()
    runtime = build(engine)
    runtime.submit({**OPEN, "infill_tokens": 2}, sink)
    assert isinstance(sink.only.error, EngineError) and "a bug" not in str(sink.only.error)
    assert settled(runtime, engine)


def test_a_second_gap_that_no_longer_fits_ends_the_request(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fills a gap may take more tokens in its place than it had."""
    monkeypatch.setattr(Tokenizer, "decode", lambda self, ids: "x" * 600)
    sink = Sink()
    build().submit({"segments": ["a", {"infill_tokens": 2}, "b", {"infill_tokens": 2}]}, sink)
    assert isinstance(sink.only.error, RequestError) and "602 tokens" in str(sink.only.error)


@pytest.mark.parametrize(("slots", "call"), [*((1, call) for call in range(21)), *((8, call) for call in range(14))])
def test_cancelled_at_any_moment_it_is_answered_once_and_leaves_nothing(build: Build, slots: int, call: int) -> None:
    engine, sink = KnowingEngine("aXXbYYYc"), Sink()
    runtime = build(engine, max_slots=slots)
    engine.gate.clear()
    handle = runtime.submit({"segments": ["a", {"infill_tokens": 9}, "b", {}, "c"], "max_tokens": 9}, sink)
    left = iter(range(call, -1, -1))

    def cancel_at(rows: Sequence[Row]) -> None:
        if next(left, -1) == 0:
            handle.cancel()

    engine.before = cancel_at
    engine.gate.set()
    answer = sink.only
    assert isinstance(answer.error, CancelledError)
    assert settled(runtime, engine) and len(sink.chunks) == 1


def test_cancelled_between_two_gaps(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, sink, started = build(), Sink(), threading.Event()
    decode = Tokenizer.decode

    def cancel(self: Tokenizer, ids: Sequence[int]) -> str:  # runs when a gap is done, before the next is opened
        assert started.wait(WAIT)
        handle.cancel()
        return decode(self, ids)

    monkeypatch.setattr(Tokenizer, "decode", cancel)
    handle = runtime.submit({"segments": ["a", {"infill_tokens": 2}, "b", {"infill_tokens": 2}]}, sink)
    started.set()
    assert isinstance(sink.only.error, CancelledError)


def test_cancelling_what_is_answered_changes_nothing(build: Build) -> None:
    runtime, sink = build(), Sink()
    handle = runtime.submit({**OPEN, "infill_tokens": 2}, sink)
    assert sink.only.error is None
    handle.cancel()
    assert runtime.generate({**OPEN, "infill_tokens": 2}).error is None
    assert len(sink.chunks) == 1


def test_a_full_queue_refuses_it_before_anything_is_queued(build: Build) -> None:
    engine, first, sink = KnowingEngine("abc"), Sink(), Sink()
    runtime = build(engine, max_slots=1, max_queue=0)
    engine.gate.clear()
    runtime.submit({"input_ids": [3], "max_tokens": 1}, first)
    with pytest.raises(OverloadedError):
        runtime.submit(OPEN, sink)
    engine.gate.set()
    assert first.only.error is None
    assert settled(runtime, engine) and sink.chunks == []


def test_a_search_runs_on_a_server_with_one_slot_and_no_queue(build: Build) -> None:
    assert build(KnowingEngine("abcWXYZdef"), max_slots=1, max_queue=0).generate(OPEN).text == "WXYZ"


def test_a_request_that_has_begun_is_not_turned_away_halfway(build: Build) -> None:
    engine, sink, other = KnowingEngine("aXXbYYYc"), Sink(), Sink()
    runtime = build(engine, max_slots=1, max_queue=1)
    engine.gate.clear()
    runtime.submit({"segments": ["a", {"infill_tokens": 2}, "b", {"infill_tokens": 3}, "c"]}, sink)
    runtime.submit({"input_ids": [3], "max_tokens": 1}, other)
    engine.gate.set()
    assert sink.only.fills == ["XX", "YYY"]
    assert other.only.error is None


def test_a_deadline_counts_from_the_requests_start(build: Build) -> None:
    engine, sink = KnowingEngine("aXXbYYYc"), Sink()
    runtime = build(engine, max_slots=1)

    def slow_in_the_second_gap(rows: Sequence[Row]) -> None:
        if rows[0].tokens.tolist() == TOKENIZER.encode("aXXb"):
            time.sleep(0.3)

    engine.before = slow_in_the_second_gap
    runtime.submit({"segments": ["a", {"infill_tokens": 2}, "b", {"infill_tokens": 2}], "timeout_ms": 250}, sink)
    assert isinstance(sink.only.error, DeadlineError)
    assert "0.250 s" in str(sink.only.error)
    assert settled(runtime, engine)


def test_a_shutdown_answers_it_once(build: Build) -> None:
    engine, sink = KnowingEngine("aXXbYYYc"), Sink()
    runtime = build(engine, max_slots=2)
    engine.gate.clear()
    runtime.submit({"segments": ["a", {}, "b", {}, "c"]}, sink)
    closing = threading.Thread(target=runtime.close, args=(1.0,))
    closing.start()
    engine.gate.set()
    closing.join(WAIT)
    assert isinstance(sink.only.error, CancelledError) or sink.only.finish_reason == "stop"
    assert not engine._slots
