"""Threads that run for as long as a block lasts."""

from __future__ import annotations

import threading

import pytest
from trimode_perf.common.until_stopped import UntilStopped


def test_each_number_has_a_thread_until_the_block_ends() -> None:
    begun, ended = threading.Barrier(4), list[int]()

    def call(number: int) -> None:
        begun.wait(60)
        assert asking.over.wait(60)
        ended.append(number)

    asking = UntilStopped(call, range(3))
    with asking as same:
        begun.wait(60)  # all three run
        assert same is asking and not ended
    assert sorted(ended) == [0, 1, 2]


def test_a_thread_that_dies_ends_the_others_and_the_block() -> None:
    ended = list[int]()

    def call(number: int) -> None:
        if number == 1:
            raise LookupError("gone")
        assert asking.over.wait(60)
        ended.append(number)

    asking = UntilStopped(call, range(3))
    with pytest.raises(LookupError, match="gone"), asking:
        assert asking.over.wait(60)
    assert sorted(ended) == [0, 2]


def test_what_ends_the_block_itself_is_not_hidden() -> None:
    def call(number: int) -> None:
        raise LookupError("gone")

    asking = UntilStopped(call, range(1))
    with pytest.raises(ArithmeticError), asking:
        assert asking.over.wait(60)
        raise ArithmeticError
