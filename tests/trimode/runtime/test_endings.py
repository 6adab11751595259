"""How a request ends, what a runtime counts and times, and that nothing is left open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from trimode.engines.base import Row, RowResult
from trimode.errors import CancelledError, DeadlineError, EngineError, OverloadedError

from tests.support.runtimes import Build
from tests.support.saying_engine import PROMPT, WAIT, SayingEngine
from tests.support.sink import Sink
from tests.support.toy import ToyEngine, toy_runtime


def test_a_sink_that_raises_does_not_stop_the_others(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    runtime = build(SayingEngine())
    bad, good = Sink(bad=True), Sink()
    runtime.submit({"input_ids": PROMPT, "stream": True}, bad)
    runtime.submit({"input_ids": PROMPT, "stream": True}, good)
    assert (good.last.finish_reason, bad.last.finish_reason) == ("stop", "stop")
    assert "a sink failed" in caplog.text


def test_a_cancelled_request_gets_a_last_chunk(build: Build) -> None:
    engine, sink = SayingEngine(), Sink()
    runtime = build(engine)
    engine.gate.clear()
    handle = runtime.submit({"input_ids": PROMPT}, sink)
    handle.cancel()
    engine.gate.set()
    assert isinstance(sink.last.error, CancelledError)


@pytest.mark.parametrize(("inside", "outside"), [(1, None), (None, 1), (1, 60_000), (60_000, 1)])
def test_the_tighter_time_limit_counts(build: Build, inside: int | None, outside: int | None) -> None:
    engine, sink = SayingEngine(), Sink()
    runtime = build(engine)
    engine.gate.clear()
    runtime.submit({"input_ids": PROMPT, "timeout_ms": inside}, sink, timeout_ms=outside)
    sink.done.wait(0.01)
    engine.gate.set()
    assert isinstance(sink.last.error, DeadlineError)


def test_generate_raises_what_ended_the_request(build: Build) -> None:
    class Failing(ToyEngine):
        def run(self, rows: Sequence[Row]) -> list[RowResult]:
            raise EngineError("no memory")

    with pytest.raises(EngineError, match="a decoding step failed"):
        build(Failing()).generate({"input_ids": PROMPT})


def test_close_gives_every_sink_its_last_chunk_and_takes_nothing_more(build: Build) -> None:
    engine = SayingEngine("x" * 100)
    runtime, sinks = build(engine, max_slots=1), [Sink(), Sink(), Sink()]
    engine.gate.clear()
    for sink in sinks:
        runtime.submit({"input_ids": PROMPT}, sink)
    closing = threading.Thread(target=runtime.close)
    closing.start()
    engine.gate.set()
    closing.join(WAIT)
    assert all(sink.done.is_set() for sink in sinks)
    with pytest.raises(OverloadedError):
        runtime.submit({"input_ids": PROMPT}, Sink())


def test_stats_are_of_the_moment_they_were_asked_for(build: Build) -> None:
    runtime = build()
    before = runtime.stats()
    runtime.generate({"input_ids": PROMPT, "max_tokens": 5, "end_id": -1})
    after = runtime.stats()
    assert (after.running, after.waiting) == (0, 0)
    assert after.passes_total > before.passes_total


@pytest.mark.parametrize(
    ("asked", "used"), [({}, True), ({"draft_adapter": True}, True), ({"draft_adapter": False}, False)]
)
def test_only_drafts_run_with_the_adapter_and_only_if_the_request_wants_it(asked: dict[str, bool], used: bool) -> None:
    engine = ToyEngine()
    runtime = toy_runtime(engine)
    try:
        runtime.generate({"input_ids": [5, 6], "mode": "self_speculation", "max_tokens": 9, **asked})
    finally:
        runtime.close()
    assert {row.adapter for row in engine.rows if row.sees == "block"} == {used}
    assert not any(row.adapter for row in engine.rows if row.sees == "causal")


def test_every_stage_of_an_answer_can_be_timed_and_is_left_as_it_was() -> None:
    runtime = toy_runtime(ToyEngine())
    seen: list[str] = []

    def around(call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            seen.append(stage)
            return call(*args, **kwargs)

        return noted

    owners = (runtime, runtime.engine, runtime.auto, runtime._queue, runtime._scheduler)
    try:
        before = [set(vars(owner)) for owner in owners]
        with runtime.traced(around):
            traced = runtime.generate({"text_input": "ab", "max_tokens": 5, "seed": 1})
        assert set(seen) == {"check", "start", "submit", "update", "choose", "plan", "run", "apply", "send"}
        assert seen.index("check") < seen.index("start") < seen.index("submit") < seen.index("run")
        assert [set(vars(owner)) for owner in owners] == before
        count = len(seen)
        again = runtime.generate({"text_input": "ab", "max_tokens": 5, "seed": 1})
        assert (again.text, len(seen)) == (traced.text, count)
    finally:
        runtime.close()
