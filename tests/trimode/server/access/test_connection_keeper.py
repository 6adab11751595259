"""Who gets a connection and who gives one up, where there are not enough for all."""

from __future__ import annotations

import logging

import pytest
from trimode.server.access.connection_keeper import OTHERS, ConnectionKeeper

MOST = 2 * OTHERS


class Kept:
    """A connection of a caller, idle since a time of our choice; None where something runs."""

    def __init__(self, caller: str, idle_since: float | None = None) -> None:
        self.caller = caller
        self.idle_since = idle_since
        self.dropped = False
        self.watched: list[float] = []

    def drop(self) -> None:
        self.dropped = True

    def watch(self, now: float) -> None:
        if self.idle_since == now:
            raise ZeroDivisionError("a bug")
        self.watched.append(now)


def filled(keeper: ConnectionKeeper[Kept], caller: str, idle: list[float | None]) -> list[Kept]:
    made = [Kept(caller, since) for since in idle]
    for connection in made:
        assert keeper.add(connection) is None
    return made


def test_what_runs_on_one_callers_connections_leaves_some_to_others(caplog: pytest.LogCaptureFixture) -> None:
    keeper: ConnectionKeeper[Kept] = ConnectionKeeper(MOST, "gRPC ", "--max")
    filled(keeper, "greedy", [None] * (MOST - 2))
    assert str(keeper.add(Kept("greedy"))) == f"{MOST - 2} connections of one caller are open and busy"
    filled(keeper, "other", [None])
    filled(keeper, "another", [None])
    assert str(keeper.add(Kept("third"))) == f"{MOST} connections are open and busy"
    assert [record.getMessage() for record in caplog.records] == [
        f"a gRPC connection was refused: {MOST - 2} of one caller are open and busy, see --max",
        f"a gRPC connection was refused: {MOST} are open and busy, see --max",
    ]


def test_a_caller_with_its_share_makes_room_for_itself() -> None:
    keeper: ConnectionKeeper[Kept] = ConnectionKeeper(MOST)
    other, *_ = filled(keeper, "other", [1.0])
    own = filled(keeper, "greedy", [3.0, 2.0, *[None] * (MOST - 4)])
    assert keeper.add(Kept("greedy")) is None
    assert [each.dropped for each in (other, *own[:3])] == [False, False, True, False]


def test_the_caller_with_the_most_gives_up_what_was_idle_for_longest() -> None:
    keeper: ConnectionKeeper[Kept] = ConnectionKeeper(4)
    modest = filled(keeper, "modest", [1.0])
    most = filled(keeper, "most", [5.0, None, 4.0])
    assert keeper.add(Kept("new")) is None
    assert [each.dropped for each in (*modest, *most)] == [False, False, False, True]
    keeper.discard(most[2])  # its end is heard of later
    assert len(keeper.all) == 4


def test_nobody_gives_one_up_for_a_caller_with_more() -> None:
    keeper: ConnectionKeeper[Kept] = ConnectionKeeper(3)
    filled(keeper, "modest", [1.0])
    filled(keeper, "most", [None, None])
    assert keeper.add(Kept("most")) is not None


def test_timers_that_fail_do_not_end_others(caplog: pytest.LogCaptureFixture) -> None:
    keeper: ConnectionKeeper[Kept] = ConnectionKeeper(3)
    made, more = filled(keeper, "one", [1.0, 2.0, None]), list[float]()
    keeper.watch(2.0, more.append)
    assert [each.watched for each in made] == [[2.0], [], [2.0]] and more == [2.0]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and record.exc_info
