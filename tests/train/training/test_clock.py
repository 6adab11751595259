"""The clock of a run: what counts, and when the hour ends."""

from __future__ import annotations

import datetime

import pytest
from trimode_train.training.clock import Clock, wall_clock


def test_a_pause_does_not_count_and_the_hour_ends_the_schedule() -> None:
    clock = Clock(budget=100.0, until=1000.0, now=lambda: 960.0)
    clock.step(500.0)
    assert clock.elapsed < 10
    assert clock.left == 40
    clock.now = lambda: 1001.0
    assert clock.progress == 1.0


@pytest.mark.parametrize(("text", "day"), [("10:30", 2), ("11:00", 2), ("11:01", 1), ("23:59", 1)])
def test_an_hour_is_the_next_time_that_the_clock_shows_it(text: str, day: int) -> None:
    now = datetime.datetime(2026, 1, 1, 11, 0, 0)
    hour, minute = map(int, text.split(":"))
    assert wall_clock(text, now) == datetime.datetime(2026, 1, day, hour, minute).timestamp()
