"""How long the client waits for the next response, and which limit ended a wait."""

from __future__ import annotations

import pytest
from trimode_client import DeadlineError, StalledError
from trimode_client.transports import time_limits
from trimode_client.transports.time_limits import TimeLimits


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr(time_limits, "time", turned)
    return turned


@pytest.mark.parametrize(
    ("timeout", "inactivity", "passed", "left"),
    [
        (None, None, 50.0, None),
        (None, 2.0, 50.0, 2.0),
        (10.0, None, 4.0, 6.0),
        (10.0, 2.0, 4.0, 2.0),
        (10.0, 2.0, 9.0, 1.0),
    ],
)
def test_the_next_response_has_what_the_tighter_limit_leaves(
    clock: Clock, timeout: float | None, inactivity: float | None, passed: float, left: float | None
) -> None:
    limits = TimeLimits(timeout, inactivity)
    clock.now += passed
    assert limits.seconds_left() == left


def test_nothing_is_left_after_the_overall_limit(clock: Clock) -> None:
    limits = TimeLimits(10.0, 2.0)
    clock.now += 10.0
    with pytest.raises(DeadlineError, match="not complete within 10 s"):
        limits.seconds_left()


def test_a_request_that_is_sent_late_asks_for_the_time_that_is_left(clock: Clock) -> None:
    limits = TimeLimits(10.0, 2.0)
    clock.now += 3.9995
    assert limits.overall_left() == pytest.approx(6.0005)
    assert limits.shortened({"timeout_ms": 10_000, "top_k": 1}) == {"timeout_ms": 6001, "top_k": 1}
    assert limits.shortened({"timeout_ms": 50}) == {"timeout_ms": 50}
    assert limits.shortened({"top_k": 1}) == {"top_k": 1}
    assert TimeLimits(None, 2.0).shortened({"timeout_ms": 50}) == {"timeout_ms": 50}
    assert TimeLimits(None, 2.0).overall_left() is None


@pytest.mark.parametrize(("passed", "kind"), [(2.0, StalledError), (10.0, DeadlineError), (9.9995, DeadlineError)])
def test_the_error_is_that_of_the_limit_that_ended_the_wait(clock: Clock, passed: float, kind: type[Exception]) -> None:
    limits = TimeLimits(10.0, 2.0)
    clock.now += passed
    assert type(limits.error()) is kind
