"""Callers at once: each asks its share, and levels are set against one caller."""

from __future__ import annotations

import threading
from typing import Any

from trimode_perf.common import QUESTIONS
from trimode_perf.common.prompts import load as read
from trimode_perf.speed.causal import load
from trimode_perf.speed.fronts.callers import Taken


class Caller:
    """A caller that waits until as many are asked at once as there are."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self.asked: list[bytes] = []
        self._barrier = barrier

    def ask(self, request: bytes) -> Taken:
        self._barrier.wait(timeout=60)
        self.asked.append(request)
        return Taken(3, 0.5, 1.5)


def test_callers_ask_their_share_at_the_same_time() -> None:
    barrier = threading.Barrier(2)
    callers: list[Any] = [Caller(barrier), Caller(barrier)]
    taken, seconds = load.together(callers, [b"a", b"b", b"c", b"d"])
    assert [caller.asked for caller in callers] == [[b"a", b"c"], [b"b", b"d"]]
    assert (len(taken), seconds > 0) == (4, True)


def test_a_level_is_set_against_one_caller() -> None:
    crowds = {1: [([Taken(1, 0.1, 0.9)] * 2, 2.0)], 4: [([Taken(1, 0.2, 1.8)] * 2, 0.5)]}
    row = load._row(4, crowds)
    assert row["against_alone"]["median"] == 4.0
    assert row["tokens_per_second"]["median"] == 2 * load.TOKENS / 0.5
    assert (row["first_milliseconds"]["median"], row["answer_milliseconds"]["median"]) == (200.0, 2000.0)
    text = load.section({"load": {"tokens": 48, "rounds": {"float32": 2}, "rows": [{"precision": "float32", **row}]}})
    assert "| float32 | 4 | 192 (192 to 192) | 4.00 (4.00 to 4.00) | 200 (200 to 200) | 200 |" in text


def test_every_question_makes_a_request_of_the_same_length() -> None:
    fields = [load._fields(prompt) for prompt in read(QUESTIONS, 1)]
    assert len({one["messages"] for one in fields}) == len(fields) == 16
    assert {(one["max_tokens"], one["end_id"]) for one in fields} == {(load.TOKENS, -1)}
