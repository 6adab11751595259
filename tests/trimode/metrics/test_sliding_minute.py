"""The last minute, counted exactly."""

from __future__ import annotations

from trimode.metrics.sliding_minute import SlidingMinute


def test_what_is_a_minute_old_counts_no_more() -> None:
    minute = SlidingMinute()
    minute.add(3, 100.0)
    minute.add(4, 130.0)
    assert [minute.total(now) for now in (130.0, 159.9, 160.0, 189.9, 190.0)] == [7, 7, 4, 4, 0]


def test_the_wait_is_until_enough_is_a_minute_old() -> None:
    minute = SlidingMinute()
    assert minute.seconds_until_below(1, 100.0) == 0
    for number in range(4):
        minute.add(10, 100.0 + number)
    assert minute.seconds_until_below(41, 110.0) == 0
    assert minute.seconds_until_below(40, 110.0) == 50.0  # the first is enough
    assert minute.seconds_until_below(11, 110.0) == 52.0  # 40, 30, 20, 10
    assert minute.seconds_until_below(10, 110.0) == 53.0
