"""JobQueue without a loop's thread: who is admitted, who must end, and when there is nothing more to do."""

from __future__ import annotations

import time
from typing import Any

import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.sequence import SequenceState
from trimode.errors import CancelledError, DeadlineError, OverloadedError, TrimodeError
from trimode.scheduling.job import Claim, Job
from trimode.scheduling.queue import JobQueue
from trimode.text.answer_text import AnswerText


def job(owner: object = None, **times: Any) -> Job:
    params = GenerationParams.parse({"input_ids": [3], "seed": 1}, Defaults(10, 8, 0))
    text = AnswerText(None, (), at_once=True)
    return Job(SequenceState(params, [3], 1), text, lambda chunk: None, owner=owner, **times)


def attend(queue: JobQueue) -> dict[Job, TrimodeError]:
    """Let the loop look once; returns what it ended. Something must run or be closing, or this would wait."""
    ended: dict[Job, TrimodeError] = {}

    def end(one: Job, error: TrimodeError) -> None:
        ended[one] = error
        queue.remove(one)

    queue.update(end, queue.start)
    return ended


def test_no_more_run_than_there_are_slots_and_the_first_come_first() -> None:
    queue, jobs = JobQueue(max_slots=2, max_queue=4), [job() for _ in range(3)]
    for one in jobs:
        queue.submit(one)
    attend(queue)
    assert (queue.running, queue.running_requests, queue.waiting_requests) == (jobs[:2], 2, 1)
    queue.remove(jobs[0])
    attend(queue)
    assert queue.running == jobs[1:]


def test_a_request_of_many_jobs_takes_turns_with_others() -> None:
    queue, many, other = JobQueue(max_slots=2, max_queue=4), object(), job()
    first = [job(many) for _ in range(3)]
    queue.submit(*first)
    queue.submit(other)
    attend(queue)
    assert queue.running == [first[0], other]
    assert (queue.running_requests, queue.waiting_requests) == (2, 0)


def test_one_more_than_slots_and_queue_is_turned_away_unless_it_had_begun() -> None:
    queue = JobQueue(max_slots=1, max_queue=1)
    queue.submit(job())
    queue.submit(job())
    with pytest.raises(OverloadedError, match="0 requests run and 2 wait"):
        queue.submit(job())
    queue.submit(job(), begun=True)
    assert queue.waiting_requests == 3


def test_a_caller_cannot_fill_the_queue_so_that_another_is_refused() -> None:
    queue = JobQueue(max_slots=1, max_queue=2)
    greedy = [job(claim=Claim("a")) for _ in range(3)]
    for one in greedy:
        queue.submit(one)
    with pytest.raises(OverloadedError, match="0 requests run and 3 wait"):
        queue.submit(job(claim=Claim("a")))
    other = job(claim=Claim("b"))
    queue.submit(other)
    assert queue.waiting_requests == 3
    ended = attend(queue)
    assert [(one, type(error)) for one, error in ended.items()] == [(greedy[2], OverloadedError)]
    assert "made room" in str(ended[greedy[2]])
    assert queue.running == [greedy[0]] and other in queue and queue.waiting_requests == 2


def test_what_made_room_makes_no_room_again() -> None:
    queue = JobQueue(max_slots=1, max_queue=3)
    greedy = [job(claim=Claim("a")) for _ in range(4)]
    for one in greedy:
        queue.submit(one)
    queue.submit(job(claim=Claim("b")))
    queue.submit(job(claim=Claim("c")))
    assert queue.waiting_requests == 4
    assert list(attend(queue)) == greedy[2:]


def test_what_is_cancelled_or_late_ends_waiting_or_running() -> None:
    queue = JobQueue(max_slots=2, max_queue=4)
    runs, stays = job(), job()
    late, cancelled = job(submitted=time.monotonic() - 2, deadline=time.monotonic() - 1), job()
    queue.submit(runs, stays)
    attend(queue)
    queue.submit(late)
    queue.submit(cancelled)
    queue.cancel(runs)
    queue.cancel(cancelled)
    assert queue.needs_update
    ended = attend(queue)
    assert {one: type(error) for one, error in ended.items()} == {
        runs: CancelledError,
        cancelled: CancelledError,
        late: DeadlineError,
    }
    assert "timeout of 1.000 s" in str(ended[late])
    assert queue.running == [stays] and stays in queue and late not in queue


def test_a_deadline_to_come_makes_the_loop_look_again() -> None:
    queue, one = JobQueue(max_slots=1, max_queue=1), job()
    one.deadline = one.submitted + 0.05
    queue.submit(one)
    attend(queue)
    while not queue.needs_update:
        time.sleep(0.01)
    assert set(attend_closing(queue)) == {one}


def attend_closing(queue: JobQueue) -> dict[Job, TrimodeError]:
    """As `attend`, where nothing may be left that runs."""
    queue.close(60.0)
    return attend(queue)


def test_after_closing_nothing_is_taken_and_the_loop_ends_once_nothing_runs() -> None:
    queue, one = JobQueue(max_slots=1, max_queue=1), job()
    queue.submit(one)
    attend(queue)
    queue.close(60.0)
    with pytest.raises(OverloadedError, match="shutting down"):
        queue.submit(job())
    with pytest.raises(CancelledError, match="shutting down"):
        queue.submit(job(), begun=True)
    assert attend(queue) == {}  # it has time until the grace period is over
    queue.remove(one)
    assert queue.update(lambda one, error: None, queue.start) is False
