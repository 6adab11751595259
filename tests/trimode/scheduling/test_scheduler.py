"""The loop: overload, cancellation, deadlines, shutdown, failures, fairness; on an engine that waits at a gate."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from trimode.api.answer import Chunk
from trimode.api.defaults import Defaults
from trimode.api.fields import MAX_BLOCK_LENGTH
from trimode.api.params import GenerationParams
from trimode.auto.chooser import Auto
from trimode.decoding.modes.revise import go_on
from trimode.decoding.revise_state import ReviseState
from trimode.decoding.sequence import SequenceState
from trimode.engines.base import Row, RowResult
from trimode.errors import CancelledError, DeadlineError, EngineError, OverloadedError
from trimode.scheduling.job import Job
from trimode.scheduling.prefix_cache import PrefixCache
from trimode.scheduling.queue import JobQueue
from trimode.scheduling.scheduler import Scheduler
from trimode.text.answer_text import AnswerText

from tests.support.toy import EOS, MASK, ToyEngine, toy_curve

WAIT = 5.0
DEFAULTS = Defaults(ToyEngine().manifest.vocab_size, 8, EOS)


class GatedEngine(ToyEngine):
    """Runs only while its gate is open; `before` may fail a call; `calls_of` has the slots and widths of each."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.before: Callable[[Sequence[Row]], None] = lambda rows: None
        self.calls_of: list[list[tuple[int, int]]] = []

    @property
    def slots_taken(self) -> int:
        return len(self._slots)

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        self.entered.set()
        assert self.gate.wait(WAIT)
        self.calls_of.append([(row.slot, len(row.tokens)) for row in rows])
        self.before(rows)
        return super().run(rows)


class Answer:
    """One request's chunks as they came."""

    def __init__(self, task: Job) -> None:
        self.task = task
        self.chunks: list[Chunk] = []
        self.done = threading.Event()
        self.finished_at = 0.0

    def deliver(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        if chunk.last:
            self.finished_at = time.monotonic()
            self.done.set()

    @property
    def last(self) -> Chunk:
        assert self.done.wait(WAIT), "no last chunk came"
        return self.chunks[-1]


class House:
    """A scheduler over a gated engine, and what was submitted to it."""

    def __init__(self, max_slots: int = 4, max_queue: int = 8, prefill_chunk: int = 256, cache: int = 0) -> None:
        self.engine = GatedEngine()
        self.queue = JobQueue(max_slots=max_slots, max_queue=max_queue)
        self.auto = Auto(toy_curve(), 8)
        self.scheduler = Scheduler(self.engine, self.auto, PrefixCache(cache), self.queue, prefill_chunk=prefill_chunk)
        self.answers: list[Answer] = []

    def task(self, *, prompt: int = 2, deadline: float | None = None, **given: Any) -> Answer:
        ids = [3 + at % 50 for at in range(prompt)]
        asked = {"input_ids": ids, "mode": "autoregressive", "max_tokens": 4, "end_id": -1, "seed": 1, **given}
        sequence = SequenceState(GenerationParams.parse(asked, DEFAULTS), ids, MASK)
        task = Job(sequence, AnswerText(None, [], at_once=True), lambda chunk: None)
        if deadline is not None:
            task.deadline = task.submitted + deadline
        answer = Answer(task)
        task.deliver = answer.deliver
        return answer

    def submit(self, **given: Any) -> Answer:
        answer = self.task(**given)
        self.queue.submit(answer.task)
        self.answers.append(answer)
        return answer

    def shut_gate(self) -> None:
        self.engine.entered.clear()
        self.engine.gate.clear()

    def until_running(self) -> None:
        assert self.engine.entered.wait(WAIT)

    def close(self, grace: float = 0.0) -> threading.Thread:
        thread = threading.Thread(target=self.scheduler.close, args=(grace,))
        thread.start()
        return thread


@pytest.fixture
def build() -> Iterator[Callable[..., House]]:
    houses: list[House] = []

    def make(**limits: int) -> House:
        houses.append(House(**limits))
        return houses[-1]

    yield make
    for house in houses:
        house.engine.gate.set()
        house.scheduler.close(0)


Build = Callable[..., House]


def test_a_request_is_answered(build: Build) -> None:
    answer = build().submit(max_tokens=5)
    assert (answer.last.finish_reason, len(answer.last.token_ids)) == ("length", 5)
    assert (answer.last.num_input_tokens, answer.last.counters.forwards) == (2, 4)


def test_a_slot_is_given_back(build: Build) -> None:
    house = build()
    assert house.submit().last.error is None
    assert (house.queue.running_requests, house.queue.waiting_requests) == (0, 0)
    house.scheduler.close(1.0)  # the slot is free a moment after the answer is out
    assert house.engine.slots_taken == 0


@pytest.mark.parametrize(("max_slots", "max_queue"), [(1, 0), (1, 1), (2, 3)])
def test_one_more_than_slots_and_queue_is_refused_at_once(build: Build, max_slots: int, max_queue: int) -> None:
    house = build(max_slots=max_slots, max_queue=max_queue)
    house.shut_gate()
    for _ in range(max_slots + max_queue):
        house.submit()
    with pytest.raises(OverloadedError):
        house.submit()
    house.engine.gate.set()
    assert [answer.last.finish_reason for answer in house.answers] == ["length"] * (max_slots + max_queue)


def test_after_an_overload_there_is_room_again(build: Build) -> None:
    house = build(max_slots=1, max_queue=0)
    assert house.submit().last.error is None
    assert house.submit().last.error is None


def test_no_more_run_than_there_are_slots(build: Build) -> None:
    house = build(max_slots=2, max_queue=9)
    for _ in range(7):
        house.submit()
    assert all(answer.last.finish_reason == "length" for answer in house.answers)
    assert max(len(call) for call in house.engine.calls_of) <= 2


def test_first_come_first_served(build: Build) -> None:
    house = build(max_slots=1)
    house.shut_gate()
    for _ in range(4):
        house.submit()
    house.engine.gate.set()
    ends = [(answer.last, answer.finished_at)[1] for answer in house.answers]
    assert ends == sorted(ends)


# Ending early


def test_cancelling_a_waiting_request(build: Build) -> None:
    house = build(max_slots=1)
    house.shut_gate()
    first, second = house.submit(), house.submit()
    house.until_running()
    house.queue.cancel(second.task)
    house.engine.gate.set()
    assert isinstance(second.last.error, CancelledError)
    assert second.last.counters.prefill_forwards == 0
    assert first.last.finish_reason == "length"


def test_cancelling_a_running_request(build: Build) -> None:
    house = build()
    house.shut_gate()
    answer = house.submit(max_tokens=400)
    house.until_running()
    house.queue.cancel(answer.task)
    house.engine.gate.set()
    assert isinstance(answer.last.error, CancelledError)
    assert (len(house.engine.calls_of), house.engine.slots_taken) == (1, 0)


def test_cancelling_what_is_done_changes_nothing(build: Build) -> None:
    house = build()
    answer = house.submit()
    assert answer.last.error is None
    house.queue.cancel(answer.task)
    assert house.submit().last.error is None
    assert len(answer.chunks) == 1


def test_a_neighbour_goes_on_when_another_is_cancelled(build: Build) -> None:
    house = build()
    house.shut_gate()
    stays, goes = house.submit(max_tokens=20), house.submit(max_tokens=20)
    house.until_running()
    house.queue.cancel(goes.task)
    house.engine.gate.set()
    assert isinstance(goes.last.error, CancelledError)
    assert len(stays.last.token_ids) == 20


@pytest.mark.parametrize("place", ["running", "waiting"])
def test_a_deadline_ends_a_request(build: Build, place: str) -> None:
    house = build(max_slots=1)
    house.shut_gate()
    if place == "waiting":
        house.submit()
    answer = house.submit(max_tokens=400, deadline=0.02)
    house.until_running()
    time.sleep(0.03)
    house.engine.gate.set()
    assert isinstance(answer.last.error, DeadlineError)
    assert "0.020 s" in str(answer.last.error)


def test_a_deadline_that_is_far_does_nothing(build: Build) -> None:
    assert build().submit(deadline=60).last.finish_reason == "length"


# Shutdown


def test_with_grace_everything_is_finished(build: Build) -> None:
    house = build(max_slots=1)
    house.shut_gate()
    for _ in range(3):
        house.submit()
    thread = house.close(grace=WAIT)
    house.engine.gate.set()
    thread.join(WAIT)
    assert [answer.last.finish_reason for answer in house.answers] == ["length"] * 3


def test_without_grace_everything_ends_as_cancelled(build: Build) -> None:
    house = build(max_slots=1)
    house.shut_gate()
    for _ in range(3):
        house.submit(max_tokens=400)
    house.until_running()
    thread = house.close()
    house.engine.gate.set()
    thread.join(WAIT)
    assert all(isinstance(answer.last.error, CancelledError) for answer in house.answers)
    assert [sum(chunk.last for chunk in answer.chunks) for answer in house.answers] == [1, 1, 1]
    assert house.engine.slots_taken == 0


def test_grace_that_runs_out_ends_the_rest(build: Build) -> None:
    house = build(max_slots=1)
    house.engine.before = lambda rows: time.sleep(0.01)
    quick, slow = house.submit(max_tokens=1), house.submit(max_tokens=400)
    house.close(grace=0.1).join(WAIT)
    assert quick.last.finish_reason == "length"
    assert isinstance(slow.last.error, CancelledError)


def test_nothing_new_is_taken_during_shutdown(build: Build) -> None:
    house = build()
    house.scheduler.close(0)
    with pytest.raises(OverloadedError, match="shutting down"):
        house.submit()


def test_closing_twice_is_harmless(build: Build) -> None:
    house = build()
    house.scheduler.close(0)
    house.scheduler.close(0)


# Failures


def test_an_engine_error_fails_only_the_rows_of_its_call(build: Build) -> None:
    house = build()

    def blocks_fail(rows: Sequence[Row]) -> None:
        if rows[0].sees == "block":
            raise EngineError("out of memory")

    house.engine.before = blocks_fail
    house.shut_gate()
    fine, bad = house.submit(max_tokens=20), house.submit(mode="diffusion", max_tokens=20)
    house.engine.gate.set()
    assert str(bad.last.error) == "out of memory"
    assert len(fine.last.token_ids) == 20
    assert house.engine.slots_taken == 0


def test_after_an_engine_error_the_next_request_is_served(build: Build) -> None:
    house = build()
    failures = [EngineError("once")]

    def fail_once(rows: Sequence[Row]) -> None:
        if failures:
            raise failures.pop()

    house.engine.before = fail_once
    assert isinstance(house.submit().last.error, EngineError)
    assert house.submit().last.finish_reason == "length"


def test_a_defect_in_a_step_is_told_and_does_not_end_the_loop(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    house = build()
    failures = [ZeroDivisionError("a bug")]

    def fail_once(rows: Sequence[Row]) -> None:
        if failures:
            raise failures.pop()

    house.engine.before = fail_once
    error = house.submit().last.error
    assert isinstance(error, EngineError) and "ZeroDivisionError('a bug')" in str(error)
    assert "a decoding step failed" in caplog.text
    assert house.submit().last.finish_reason == "length"
    assert house.engine.slots_taken == 0


def test_an_engine_that_has_no_slot_fails_one_request_and_does_not_end_the_loop(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = build()
    allocate, failures = house.engine.allocate, [EngineError("all slots are taken")]

    def fail_once(*, block: bool) -> int:
        if failures:
            raise failures.pop()
        return allocate(block=block)

    monkeypatch.setattr(house.engine, "allocate", fail_once)
    refused = house.submit()
    assert refused.done.wait(0.5), "the request was lost"
    assert isinstance(refused.last.error, EngineError)
    assert house.submit().last.finish_reason == "length"


# Fairness


def test_a_request_joins_while_others_run(build: Build) -> None:
    house = build()
    long = house.submit(max_tokens=300)
    house.engine.entered.wait(WAIT)
    short = house.submit(max_tokens=3)
    assert (short.last.finish_reason, long.last.finish_reason) == ("length", "length")
    assert short.finished_at < long.finished_at


def test_a_long_prompt_lets_others_go_on_between_its_chunks(build: Build) -> None:
    house = build(prefill_chunk=4)
    house.shut_gate()
    long, short = house.submit(prompt=80, max_tokens=1), house.submit(prompt=2, max_tokens=6)
    house.engine.gate.set()
    assert (long.last.finish_reason, short.last.finish_reason) == ("length", "length")
    assert short.finished_at < long.finished_at
    widths = [call[0][1] for call in house.engine.calls_of]
    singles = [at for at, width in enumerate(widths) if width == 1]
    assert [b - a for a, b in itertools.pairwise(singles)] == [2] * 4  # a chunk of the prompt, a token, a chunk, …
    assert long.last.counters.prefill_forwards == 20


def test_single_tokens_share_a_call(build: Build) -> None:
    house = build(max_slots=3)
    house.shut_gate()
    for _ in range(3):
        house.submit(max_tokens=10)
    house.engine.gate.set()
    assert all(answer.last.finish_reason == "length" for answer in house.answers)
    assert max(len(call) for call in house.engine.calls_of) == 3


def test_a_stream_of_short_prompts_cannot_keep_a_long_one_out(build: Build) -> None:
    house = build(prefill_chunk=16, max_slots=3)
    long = house.submit(prompt=200, max_tokens=1)
    for _ in range(200):
        short = house.submit(prompt=16, max_tokens=1)
        if long.done.is_set():
            break
        short.done.wait(WAIT)
    assert long.done.is_set(), "200 short prompts went first"


def test_an_answer_goes_out_even_if_its_slot_cannot_be_given_back(build: Build) -> None:
    house = build()

    def broken(slot: int) -> None:
        raise MemoryError

    house.engine.free = broken  # type: ignore[method-assign]
    assert house.submit().last.finish_reason == "length"
    assert house.submit().last.finish_reason == "length"


# Requests of several tasks, and long texts that are scored


def test_tasks_of_one_request_are_queued_together_and_count_as_one(build: Build) -> None:
    house = build(max_slots=1, max_queue=0)
    answers = [house.task() for _ in range(3)]
    house.queue.submit(*(answer.task for answer in answers))
    assert [answer.last.finish_reason for answer in answers] == ["length"] * 3


def test_of_tasks_that_find_no_room_none_is_queued(build: Build) -> None:
    house = build(max_slots=1, max_queue=0)
    house.shut_gate()
    house.submit()
    answers = [house.task() for _ in range(2)]
    with pytest.raises(OverloadedError):
        house.queue.submit(*(answer.task for answer in answers))
    house.engine.gate.set()
    assert house.answers[0].last.error is None
    house.scheduler.close(WAIT)
    assert [answer.chunks for answer in answers] == [[], []]


def test_what_has_begun_always_finds_room(build: Build) -> None:
    house = build(max_slots=1, max_queue=0)
    house.shut_gate()
    house.submit()
    more = house.task()
    house.queue.submit(more.task, begun=True)
    house.engine.gate.set()
    assert more.last.finish_reason == "length"


def test_what_has_begun_ends_with_the_server(build: Build) -> None:
    house = build()
    house.scheduler.close(0)
    with pytest.raises(CancelledError, match="shutting down"):
        house.queue.submit(house.task().task, begun=True)


def revision(house: House, length: int) -> Answer:
    """A text to revise of which nothing is picked: it is only scored, chunk by chunk."""
    answer = house.task()
    ids = np.arange(length) % 50 + 3
    never = np.zeros(length, dtype=bool)
    work = ReviseState(ids, never, None, None, rounds=1, always=False, banned=(), filler=MASK)
    params = GenerationParams.parse({"text": "any", "seed": 1}, DEFAULTS)
    answer.task.sequence = SequenceState(params, [], MASK, revise=work)
    go_on(answer.task.sequence)
    return answer


def test_long_texts_to_score_share_one_chunk_a_step_with_prompts(build: Build) -> None:
    house = build(prefill_chunk=70, max_slots=8)
    house.shut_gate()
    texts = [revision(house, 350) for _ in range(3)]
    house.queue.submit(*(one.task for one in texts))
    prompt, token = house.submit(prompt=300, max_tokens=1), house.submit(max_tokens=25)
    house.engine.gate.set()
    assert all(answer.last.error is None for answer in (*texts, prompt, token))
    widths = [call[0][1] for call in house.engine.calls_of]
    singles = [at for at, width in enumerate(widths) if width == 1]
    between = [widths[a + 1 : b] for a, b in itertools.pairwise(singles)]
    assert between and all(sum(width > MAX_BLOCK_LENGTH for width in some) <= 1 for some in between)
    assert all(one.last.counters.score_forwards == 5 for one in texts)


def test_the_rest_of_a_text_that_fits_a_block_goes_with_the_blocks(build: Build) -> None:
    house = build(max_slots=8)
    house.shut_gate()
    texts = [revision(house, 20) for _ in range(3)]
    house.queue.submit(*(one.task for one in texts))
    house.engine.gate.set()
    assert all(one.last.error is None for one in texts)
    assert max(len(call) for call in house.engine.calls_of) == 3


@pytest.mark.parametrize("fails", ["copy_in", "copy_out"])
def test_an_engine_that_cannot_copy_costs_one_answer_at_most(build: Build, fails: str) -> None:
    house = build(cache=2**20)
    assert house.submit(prompt=60).last.error is None

    def fail(*args: Any) -> Any:
        raise MemoryError("no room")

    setattr(house.engine, fails, fail)
    error = house.submit(prompt=60 if fails == "copy_in" else 90).last.error
    assert isinstance(error, EngineError) is (fails == "copy_in")
    delattr(house.engine, fails)
    assert house.submit(prompt=60).last.error is None
    assert house.engine.slots_taken == 0


def test_a_defect_while_choosing_ends_those_who_run_and_nobody_else(build: Build) -> None:
    house = build()

    def fail(*args: Any) -> Any:
        raise ZeroDivisionError

    house.auto.choose = fail  # type: ignore[method-assign]
    assert isinstance(house.submit().last.error, EngineError)
    del house.auto.choose
    assert house.submit().last.error is None


def test_the_loop_rests_while_there_is_nothing_to_do(build: Build) -> None:
    house, steps = build(), 0
    step = house.scheduler._step

    def counted() -> None:
        nonlocal steps
        steps += 1
        step()

    house.scheduler._step = counted  # type: ignore[method-assign]
    time.sleep(0.1)
    assert steps == 0
    assert house.submit().last.error is None
    taken = steps
    time.sleep(0.1)
    assert steps == taken > 0
