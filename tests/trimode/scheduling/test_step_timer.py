"""What the loop tells the cost curve of its steps: which calls, with what, and which not."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from trimode.api.answer import Chunk
from trimode.auto.ahead import PassLimits
from trimode.auto.chooser import Auto, Call
from trimode.auto.cost_curve import ROWS, TOKENS, CostCurve
from trimode.auto.tuning import TUNING
from trimode.runtime import Runtime
from trimode.scheduling.step_timer import StepTimer

from tests.support.toy import ToyEngine, byte_tokenizer, toy_config

PROMPT = 20
SMALL, LARGE = 64, 256


class Noting(CostCurve):
    """Notes what it is told, (rows, tokens, capacity) and how many calls the engine had run; takes in every step."""

    def __init__(self, engine: ToyEngine) -> None:
        super().__init__(np.full((len(ROWS), len(TOKENS)), 0.001), SMALL)
        self.engine = engine
        self.noted: list[tuple[int, int, int]] = []
        self.seconds_noted: list[float] = []
        self.calls_run: list[int] = []

    def due(self) -> bool:
        return True

    def observe(self, rows: int, tokens: int, capacity: int, seconds: float) -> None:
        self.noted.append((rows, tokens, capacity))
        self.seconds_noted.append(seconds)
        self.calls_run.append(self.engine.calls)


class Sometimes(Noting):
    """As often as the loop really does."""

    def due(self) -> bool:
        return CostCurve.due(self)


class Shrinking(ToyEngine):
    """Has a larger cache while a slot is taken than when it is given back."""

    taken = 0

    def allocate(self, *, block: bool) -> int:
        self.taken += 1
        return super().allocate(block=block)

    def free(self, slot: int) -> None:
        self.taken -= 1
        super().free(slot)

    @property
    def capacity(self) -> int:
        return LARGE if self.taken else SMALL


def ask_all(curve: Noting, *requests: dict[str, Any]) -> None:
    """Ask all of `requests` at once and wait for the answers."""
    runtime = Runtime(curve.engine, byte_tokenizer(), toy_config(), curve=curve)
    done = threading.Semaphore(0)

    def sink(chunk: Chunk) -> None:
        if chunk.last:
            done.release()

    try:
        for request in requests:
            runtime.submit(request, sink)
        assert all(done.acquire(timeout=30) for _ in requests)
    finally:
        runtime.close()


def asked(mode: str, number: int = 0, **given: Any) -> dict[str, Any]:
    ids = [3 + (at + number) % 40 for at in range(PROMPT)]
    return {"input_ids": ids, "max_tokens": 40, "end_id": -1, "mode": mode, **given}


def test_what_reads_a_prompt_is_not_told() -> None:
    curve = Noting(ToyEngine())
    ask_all(curve, *(asked("autoregressive", number) for number in range(3)))
    assert curve.noted
    assert {tokens for _, tokens, _ in curve.noted} == {1}


def test_calls_of_one_step_are_told_apart() -> None:
    curve = Noting(ToyEngine(hit=0.3, peak=40))
    ask_all(curve, asked("autoregressive", max_tokens=200), asked("self_speculation", 1, max_tokens=200))
    assert {(1, 1), (1, 8)} <= {(rows, tokens) for rows, tokens, _ in curve.noted}


def test_a_call_is_told_with_the_cache_it_saw_even_if_an_answer_ended_with_it() -> None:
    curve = Noting(Shrinking())
    ask_all(curve, *(asked("autoregressive", max_tokens=5) for _ in range(2)))
    assert {capacity for _, _, capacity in curve.noted} == {LARGE}


def test_drafts_and_verifications_are_both_timed() -> None:
    curve = Sometimes(ToyEngine(hit=0.5, peak=40))
    ask_all(curve, asked("self_speculation", max_tokens=150))
    assert {calls % 2 for calls in curve.calls_run} == {0, 1}


def test_what_is_done_around_a_call_is_part_of_it() -> None:
    curve = Noting(ToyEngine())
    auto = Auto(curve, 8)
    auto.observe([Call(2, 1, SMALL, 0.001)], None)  # a step that did more than decoding, and nothing known of others
    auto.observe([Call(2, 1, SMALL, 0.001), Call(1, 8, SMALL, 0.005)], 0.004)  # the same for each
    auto.observe([Call(3, 1, SMALL, 0.001)], 0.004)
    known = 0.002 + TUNING.learning_rate * 0.002  # of two or three rows
    auto.observe([Call(3, 8, SMALL, 0.005)], None)
    assert curve.noted == [(2, 1, SMALL), (1, 8, SMALL), (3, 1, SMALL), (3, 8, SMALL)]
    assert curve.seconds_noted == pytest.approx([0.003, 0.007, 0.005, 0.005 + known])


def test_a_quadratic_pass_is_marked_and_teaches_what_it_costs_more() -> None:
    curve = CostCurve(np.full((len(ROWS), len(TOKENS)), 0.001), SMALL)
    auto = Auto(curve, 8, passes=PassLimits())
    assert auto.ahead is not None
    expected = curve.seconds(1, 20, SMALL)
    for _ in range(200):
        auto.observe([Call(1, 20, SMALL, 1.3 * expected, quadratic=True)], 0.0)
    assert auto.ahead.dearer == pytest.approx(1.3, rel=0.01)
    auto.ahead = None
    for _ in range(20):
        auto.observe([Call(1, 20, SMALL, 1.3 * expected, quadratic=True)], 0.0)
    assert curve.seconds(1, 20, SMALL) == expected, "other calls cost what they did"


@pytest.mark.parametrize("speculation", ["linear", "quadratic"])
def test_passes_of_a_request_are_marked_by_their_kind(speculation: str) -> None:
    seen: list[Call] = []
    curve = Noting(ToyEngine())
    with patch.object(Auto, "observe", lambda auto, calls, around: seen.extend(calls)):
        ask_all(curve, asked("self_speculation", speculation=speculation, max_tokens=60))
    assert seen and {call.quadratic for call in seen} == {speculation == "quadratic"}


def test_what_surrounds_a_step_is_not_known_where_a_call_failed_or_an_answer_ended() -> None:
    assert StepTimer(2, observed=True).around(2) is not None
    assert StepTimer(2, observed=True).around(1) is None
    failed = StepTimer(2, observed=True)
    failed.failed()
    assert failed.around(2) is None
