"""The loop: overload, cancellation, deadlines, shutdown, failures, fairness; on an engine that waits at a gate."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from trimode.api.fields import MAX_BLOCK_LENGTH
from trimode.api.params import GenerationParams
from trimode.decoding.modes.revise import go_on
from trimode.decoding.revise_state import ReviseState
from trimode.decoding.sequence import SequenceState
from trimode.errors import CancelledError, EngineError, OverloadedError

from tests.support.gated_scheduler import DEFAULTS, WAIT, Answer, GatedScheduler
from tests.support.toy import MASK

Build = Callable[..., GatedScheduler]


def test_a_request_is_answered(build: Build) -> None:
    answer = build().submit(max_tokens=5)
    assert (answer.last.finish_reason, len(answer.last.token_ids)) == ("length", 5)
    assert (answer.last.num_input_tokens, answer.last.counters.forwards) == (2, 4)


def test_the_tokens_of_each_step_are_counted(build: Build) -> None:
    """A step reads the prompt of 20 in chunks of 8 and gives the first token, four give a token each."""
    bench = build(prefill_chunk=8)
    assert len(bench.submit(prompt=20, max_tokens=5).last.token_ids) == 5
    bench.scheduler.close(1.0)  # a step is counted once its answers are out
    assert bench.scheduler.steps.tokens == 25
    assert [*filter(None, bench.scheduler.steps.steps)] == [4, 3]  # of one token; of 8, 8 and 4 + 1


def test_a_step_that_failed_is_not_counted(build: Build) -> None:
    bench = build()

    def fail(rows: object) -> None:
        raise RuntimeError("broken")

    bench.engine.before = fail
    assert isinstance(bench.submit().last.error, EngineError)
    bench.scheduler.close(1.0)
    assert (bench.scheduler.steps.tokens, sum(bench.scheduler.steps.steps)) == (0, 0)


def test_a_slot_is_given_back(build: Build) -> None:
    bench = build()
    assert bench.submit().last.error is None
    assert (bench.queue.running_requests, bench.queue.waiting_requests) == (0, 0)
    bench.scheduler.close(1.0)  # the slot is free a moment after the answer is out
    assert bench.engine.slots_taken == 0


@pytest.mark.parametrize(("max_slots", "max_queue"), [(1, 0), (1, 1), (2, 3)])
def test_one_more_than_slots_and_queue_is_refused_at_once(build: Build, max_slots: int, max_queue: int) -> None:
    bench = build(max_slots=max_slots, max_queue=max_queue)
    bench.shut_gate()
    for _ in range(max_slots + max_queue):
        bench.submit()
    with pytest.raises(OverloadedError):
        bench.submit()
    bench.engine.gate.set()
    assert [answer.last.finish_reason for answer in bench.answers] == ["length"] * (max_slots + max_queue)


def test_after_an_overload_there_is_room_again(build: Build) -> None:
    bench = build(max_slots=1, max_queue=0)
    assert bench.submit().last.error is None
    assert bench.submit().last.error is None


def test_no_more_run_than_there_are_slots(build: Build) -> None:
    bench = build(max_slots=2, max_queue=9)
    for _ in range(7):
        bench.submit()
    assert all(answer.last.finish_reason == "length" for answer in bench.answers)
    assert max(len(call) for call in bench.engine.calls_of) <= 2


def test_first_come_first_served(build: Build) -> None:
    bench = build(max_slots=1)
    bench.shut_gate()
    for _ in range(4):
        bench.submit()
    bench.engine.gate.set()
    ends = [(answer.last, answer.finished_at)[1] for answer in bench.answers]
    assert ends == sorted(ends)


# Fairness


def test_a_request_joins_while_others_run(build: Build) -> None:
    bench = build()
    long = bench.submit(max_tokens=300)
    bench.engine.entered.wait(WAIT)
    short = bench.submit(max_tokens=3)
    assert (short.last.finish_reason, long.last.finish_reason) == ("length", "length")
    assert short.finished_at < long.finished_at


def test_a_long_prompt_lets_others_go_on_between_its_chunks(build: Build) -> None:
    bench = build(prefill_chunk=4)
    bench.shut_gate()
    long, short = bench.submit(prompt=80, max_tokens=1), bench.submit(prompt=2, max_tokens=6)
    bench.engine.gate.set()
    assert (long.last.finish_reason, short.last.finish_reason) == ("length", "length")
    assert short.finished_at < long.finished_at
    widths = [call[0][1] for call in bench.engine.calls_of]
    singles = [at for at, width in enumerate(widths) if width == 1]
    assert [b - a for a, b in itertools.pairwise(singles)] == [2] * 4  # a chunk of the prompt, a token, a chunk, …
    assert long.last.counters.prefill_forwards == 20


def test_single_tokens_share_a_call(build: Build) -> None:
    bench = build(max_slots=3)
    bench.shut_gate()
    for _ in range(3):
        bench.submit(max_tokens=10)
    bench.engine.gate.set()
    assert all(answer.last.finish_reason == "length" for answer in bench.answers)
    assert max(len(call) for call in bench.engine.calls_of) == 3


def test_a_stream_of_short_prompts_cannot_keep_a_long_one_out(build: Build) -> None:
    bench = build(prefill_chunk=16, max_slots=3)
    long = bench.submit(prompt=200, max_tokens=1)
    for _ in range(200):
        short = bench.submit(prompt=16, max_tokens=1)
        if long.done.is_set():
            break
        short.done.wait(WAIT)
    assert long.done.is_set(), "200 short prompts went first"


def test_an_answer_goes_out_even_if_its_slot_cannot_be_given_back(build: Build) -> None:
    bench = build()

    def broken(slot: int) -> None:
        raise MemoryError

    bench.engine.free = broken  # type: ignore[method-assign]
    assert bench.submit().last.finish_reason == "length"
    assert bench.submit().last.finish_reason == "length"


# Requests of several jobs, and long texts that are scored


def test_jobs_of_one_request_are_queued_together_and_count_as_one(build: Build) -> None:
    bench = build(max_slots=1, max_queue=0)
    answers = [bench.answer() for _ in range(3)]
    bench.queue.submit(*(answer.job for answer in answers))
    assert [answer.last.finish_reason for answer in answers] == ["length"] * 3


def test_of_jobs_that_find_no_room_none_is_queued(build: Build) -> None:
    bench = build(max_slots=1, max_queue=0)
    bench.shut_gate()
    bench.submit()
    answers = [bench.answer() for _ in range(2)]
    with pytest.raises(OverloadedError):
        bench.queue.submit(*(answer.job for answer in answers))
    bench.engine.gate.set()
    assert bench.answers[0].last.error is None
    bench.scheduler.close(WAIT)
    assert [answer.chunks for answer in answers] == [[], []]


def test_what_has_begun_always_finds_room(build: Build) -> None:
    bench = build(max_slots=1, max_queue=0)
    bench.shut_gate()
    bench.submit()
    more = bench.answer()
    bench.queue.submit(more.job, begun=True)
    bench.engine.gate.set()
    assert more.last.finish_reason == "length"


def test_what_has_begun_ends_with_the_server(build: Build) -> None:
    bench = build()
    bench.scheduler.close(0)
    with pytest.raises(CancelledError, match="shutting down"):
        bench.queue.submit(bench.answer().job, begun=True)


def revision(bench: GatedScheduler, length: int) -> Answer:
    """A text to revise of which nothing is picked: it is only scored, chunk by chunk."""
    answer = bench.answer()
    ids = np.arange(length) % 50 + 3
    never = np.zeros(length, dtype=bool)
    work = ReviseState(ids, never, None, None, rounds=1, always=False, banned=(), filler=MASK)
    params = GenerationParams.parse({"text": "any", "seed": 1}, DEFAULTS)
    answer.job.sequence = SequenceState(params, [], MASK, revise=work)
    go_on(answer.job.sequence)
    return answer


def test_long_texts_to_score_share_one_chunk_a_step_with_prompts(build: Build) -> None:
    bench = build(prefill_chunk=70, max_slots=8)
    bench.shut_gate()
    texts = [revision(bench, 350) for _ in range(3)]
    bench.queue.submit(*(one.job for one in texts))
    prompt, token = bench.submit(prompt=300, max_tokens=1), bench.submit(max_tokens=25)
    bench.engine.gate.set()
    assert all(answer.last.error is None for answer in (*texts, prompt, token))
    widths = [call[0][1] for call in bench.engine.calls_of]
    singles = [at for at, width in enumerate(widths) if width == 1]
    between = [widths[a + 1 : b] for a, b in itertools.pairwise(singles)]
    assert between and all(sum(width > MAX_BLOCK_LENGTH for width in some) <= 1 for some in between)
    assert all(one.last.counters.score_forwards == 5 for one in texts)


def test_the_rest_of_a_text_that_fits_a_block_goes_with_the_blocks(build: Build) -> None:
    bench = build(max_slots=8)
    bench.shut_gate()
    texts = [revision(bench, 20) for _ in range(3)]
    bench.queue.submit(*(one.job for one in texts))
    bench.engine.gate.set()
    assert all(one.last.error is None for one in texts)
    assert max(len(call) for call in bench.engine.calls_of) == 3


@pytest.mark.parametrize("fails", ["copy_in", "copy_out"])
def test_an_engine_that_cannot_copy_costs_one_answer_at_most(build: Build, fails: str) -> None:
    bench = build(cache=2**20)
    assert bench.submit(prompt=60).last.error is None

    def fail(*args: Any) -> Any:
        raise MemoryError("no room")

    setattr(bench.engine, fails, fail)
    error = bench.submit(prompt=60 if fails == "copy_in" else 90).last.error
    assert isinstance(error, EngineError) is (fails == "copy_in")
    delattr(bench.engine, fails)
    assert bench.submit(prompt=60).last.error is None
    assert bench.engine.slots_taken == 0


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        (EngineError("the engine failed on 2 rows: /home/x/graph.onnx"), "engine_failed: a decoding step failed; "),
        (MemoryError(), "unavailable: a decoding step failed: the server lacks memory for it now"),
        (EngineError("cudaMalloc: out of memory"), "unavailable: a decoding step failed: the server lacks memory"),
    ],
)
def test_what_an_engine_says_is_for_the_log(
    build: Build, caplog: pytest.LogCaptureFixture, cause: Exception, error: str
) -> None:
    bench = build()

    def fail(*args: Any) -> Any:
        raise cause

    bench.engine.run = fail  # type: ignore[assignment, method-assign]
    found = bench.submit().last.error
    assert found is not None and found.on_the_wire().startswith(error)
    (record,) = caplog.records
    assert record.exc_info and record.exc_info[1] is cause
    del bench.engine.run
    assert bench.submit().last.error is None
    assert bench.engine.slots_taken == 0


def test_a_defect_while_choosing_ends_those_who_run_and_nobody_else(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = build()

    def fail(*args: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(bench.auto, "choose", fail)
        assert isinstance(bench.submit().last.error, EngineError)
    assert bench.submit().last.error is None


def test_the_loop_rests_while_there_is_nothing_to_do(build: Build) -> None:
    bench, steps = build(), 0
    step = bench.scheduler._step

    def counted() -> None:
        nonlocal steps
        steps += 1
        step()

    bench.scheduler._step = counted  # type: ignore[method-assign]
    time.sleep(0.1)
    assert steps == 0
    assert bench.submit().last.error is None
    taken = steps
    time.sleep(0.1)
    assert steps == taken > 0
