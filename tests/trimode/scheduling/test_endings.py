"""How the loop ends requests: cancelled, late, failed, or shut down, and the others go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
from trimode.engines.base import Row
from trimode.errors import CancelledError, DeadlineError, EngineError, OverloadedError

from tests.support.gated_scheduler import WAIT, GatedScheduler

Build = Callable[..., GatedScheduler]


# Ending early


def test_cancelling_a_waiting_request(build: Build) -> None:
    bench = build(max_slots=1)
    bench.shut_gate()
    first, second = bench.submit(), bench.submit()
    bench.until_running()
    bench.queue.cancel(second.job)
    bench.engine.gate.set()
    assert isinstance(second.last.error, CancelledError)
    assert second.last.counters.prefill_forwards == 0
    assert first.last.finish_reason == "length"


def test_cancelling_a_running_request(build: Build) -> None:
    bench = build()
    bench.shut_gate()
    answer = bench.submit(max_tokens=400)
    bench.until_running()
    bench.queue.cancel(answer.job)
    bench.engine.gate.set()
    assert isinstance(answer.last.error, CancelledError)
    assert (len(bench.engine.calls_of), bench.engine.slots_taken) == (1, 0)


def test_cancelling_what_is_done_changes_nothing(build: Build) -> None:
    bench = build()
    answer = bench.submit()
    assert answer.last.error is None
    bench.queue.cancel(answer.job)
    assert bench.submit().last.error is None
    assert len(answer.chunks) == 1


def test_a_neighbour_goes_on_when_another_is_cancelled(build: Build) -> None:
    bench = build()
    bench.shut_gate()
    stays, goes = bench.submit(max_tokens=20), bench.submit(max_tokens=20)
    bench.until_running()
    bench.queue.cancel(goes.job)
    bench.engine.gate.set()
    assert isinstance(goes.last.error, CancelledError)
    assert len(stays.last.token_ids) == 20


@pytest.mark.parametrize("place", ["running", "waiting"])
def test_a_deadline_ends_a_request(build: Build, place: str) -> None:
    bench = build(max_slots=1)
    bench.shut_gate()
    if place == "waiting":
        bench.submit()
    answer = bench.submit(max_tokens=400, deadline=0.02)
    bench.until_running()
    time.sleep(0.03)
    bench.engine.gate.set()
    assert isinstance(answer.last.error, DeadlineError)
    assert "0.020 s" in str(answer.last.error)


def test_a_deadline_that_is_far_does_nothing(build: Build) -> None:
    assert build().submit(deadline=60).last.finish_reason == "length"


# Shutdown


def test_with_grace_everything_is_finished(build: Build) -> None:
    bench = build(max_slots=1)
    bench.shut_gate()
    for _ in range(3):
        bench.submit()
    thread = bench.close(grace=WAIT)
    bench.engine.gate.set()
    thread.join(WAIT)
    assert [answer.last.finish_reason for answer in bench.answers] == ["length"] * 3


def test_without_grace_everything_ends_as_cancelled(build: Build) -> None:
    bench = build(max_slots=1)
    bench.shut_gate()
    for _ in range(3):
        bench.submit(max_tokens=400)
    bench.until_running()
    thread = bench.close()
    bench.engine.gate.set()
    thread.join(WAIT)
    assert all(isinstance(answer.last.error, CancelledError) for answer in bench.answers)
    assert [sum(chunk.last for chunk in answer.chunks) for answer in bench.answers] == [1, 1, 1]
    assert bench.engine.slots_taken == 0


def test_grace_that_runs_out_ends_the_rest(build: Build) -> None:
    bench = build(max_slots=1)
    bench.engine.before = lambda rows: time.sleep(0.01)
    quick, slow = bench.submit(max_tokens=1), bench.submit(max_tokens=400)
    bench.close(grace=0.1).join(WAIT)
    assert quick.last.finish_reason == "length"
    assert isinstance(slow.last.error, CancelledError)


def test_nothing_new_is_taken_during_shutdown(build: Build) -> None:
    bench = build()
    bench.scheduler.close(0)
    with pytest.raises(OverloadedError, match="shutting down"):
        bench.submit()


def test_closing_twice_is_harmless(build: Build) -> None:
    bench = build()
    bench.scheduler.close(0)
    bench.scheduler.close(0)


# Failures


def test_an_engine_error_fails_only_the_rows_of_its_call(build: Build) -> None:
    bench = build()

    def blocks_fail(rows: Sequence[Row]) -> None:
        if rows[0].sees == "block":
            raise EngineError("out of memory")

    bench.engine.before = blocks_fail
    bench.shut_gate()
    fine, bad = bench.submit(max_tokens=20), bench.submit(mode="diffusion", max_tokens=20)
    bench.engine.gate.set()
    assert str(bad.last.error) == "a decoding step failed: the server lacks memory for it now"
    assert len(fine.last.token_ids) == 20
    assert bench.engine.slots_taken == 0


def test_an_error_loses_nothing_that_a_stream_held_back(build: Build) -> None:
    bench = build()

    def fail_late(rows: Sequence[Row]) -> None:
        if rows[0].start >= 8:
            raise EngineError("out of memory")

    bench.engine.before = fail_late
    given = {"mode": "autoregressive", "max_tokens": 20, "stream": True, "return_token_ids": True}
    each, few = (bench.submit(**given, stream_interval=interval) for interval in (1, 1000))
    for answer in (each, few):
        assert isinstance(answer.last.error, EngineError)
    lengths = [[len(chunk.token_ids) for chunk in answer.chunks] for answer in (each, few)]
    assert lengths[1] == [1, len(lengths[0]) - 2, 0]  # the first, all that was held back, and the error
    assert [token for chunk in few.chunks for token in chunk.token_ids] == [
        token for chunk in each.chunks for token in chunk.token_ids
    ]


def test_after_an_engine_error_the_next_request_is_served(build: Build) -> None:
    bench = build()
    failures = [EngineError("once")]

    def fail_once(rows: Sequence[Row]) -> None:
        if failures:
            raise failures.pop()

    bench.engine.before = fail_once
    assert isinstance(bench.submit().last.error, EngineError)
    assert bench.submit().last.finish_reason == "length"


def test_a_defect_in_a_step_is_told_and_does_not_end_the_loop(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    bench = build()
    failures = [ZeroDivisionError("a bug")]

    def fail_once(rows: Sequence[Row]) -> None:
        if failures:
            raise failures.pop()

    bench.engine.before = fail_once
    error = bench.submit().last.error
    assert isinstance(error, EngineError) and "a bug" not in str(error)
    assert "a decoding step failed" in caplog.text and "ZeroDivisionError: a bug" in caplog.text
    assert bench.submit().last.finish_reason == "length"
    assert bench.engine.slots_taken == 0


def test_an_engine_that_has_no_slot_fails_one_request_and_does_not_end_the_loop(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = build()
    allocate, failures = bench.engine.allocate, [EngineError("all slots are taken")]

    def fail_once(*, block: bool) -> int:
        if failures:
            raise failures.pop()
        return allocate(block=block)

    monkeypatch.setattr(bench.engine, "allocate", fail_once)
    refused = bench.submit()
    assert refused.done.wait(WAIT), "the request was lost"
    assert isinstance(refused.last.error, EngineError)
    assert bench.submit().last.finish_reason == "length"
