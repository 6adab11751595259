"""The time of gpu-check: shares, and what is cut. By a clock that stands still, but for the last."""

from __future__ import annotations

import signal
import time

import pytest
from trimode_perf.gpu import budget
from trimode_perf.gpu.budget import Budget, Part, StoppedError, Work


class Clock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def slow(clock: Clock, seconds: float, steps: int, done: list[str], name: str) -> Work:
    """A part of `steps` steps, each of which takes `seconds`."""

    def work(part: Part) -> None:
        for _ in range(steps):
            part.check()
            clock.now += seconds
            done.append(name)

    return work


def test_a_slow_part_is_cut_at_its_share_and_what_another_leaves_goes_to_those_after_it() -> None:
    clock, done = Clock(), list[str]()
    made = Budget(10, {"c": "stopped after 1 s"}, clock)  # 582 seconds for parts
    plan = [(name, 1.0, slow(clock, 10.0, steps, done, name)) for name, steps in (("a", 99), ("b", 1), ("c", 37))]
    written: list[float] = []
    made.run(plan, lambda: written.append(clock.now))
    assert [done.count(name) for name in "abc"] == [20, 1, 37]
    assert made.stopped == {"a": "stopped after 200 s"}
    assert len(written) == 3


def test_no_part_begins_after_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock, done = Clock(), list[str]()
    made = Budget(1, clock=clock)
    clock.now += 59
    made.run([("a", 1.0, slow(clock, 1.0, 1, done, "a"))], lambda: None)
    assert (done, made.stopped, made.has_time()) == ([], {"a": "stopped after 0 s"}, False)
    assert capsys.readouterr().err == "gpu-check: a: stopped after 0 s; the next run goes on\n"


def test_without_an_end_nothing_is_cut() -> None:
    clock, done = Clock(), list[str]()
    made = Budget(None, clock=clock)
    made.run([("a", 1.0, slow(clock, 1e6, 3, done, "a"))], lambda: None)
    assert (len(done), made.stopped) == (3, {})


def test_a_step_that_goes_on_is_cut_by_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "GRACE", 0.01)
    before, done = signal.getsignal(signal.SIGALRM), list[str]()

    def hangs(part: Part) -> None:
        try:
            time.sleep(600)
        except Exception:  # as an engine's faults are caught
            done.append("wrong")

    made = Budget(0.001)
    made.run([("a", 1.0, hangs), ("b", 9.0, lambda part: done.append("b"))], lambda: None)
    assert (done, list(made.stopped)) == (["b"], ["a"])
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_step_is_taken_after_the_question_whether_the_time_is_over() -> None:
    taken: list[int] = []
    Part().before(lambda: taken.append(1))()
    with pytest.raises(StoppedError):
        Part(0.0).before(lambda: taken.append(2))()
    assert taken == [1]
