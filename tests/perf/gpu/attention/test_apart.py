"""The measurement in its own processes: rows arrive, one that dies costs no other, and time is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch", reason="make test-train has PyTorch")

from trimode_perf.gpu.attention import apart
from trimode_perf.gpu.attention.measure import TINY_WORK
from trimode_perf.gpu.attention.variants import VARIANTS

WORK = replace(TINY_WORK, rows=(2,), tokens=(3,), lengths=(33,), seconds=0.001)
PATIENCE = 300.0


class Dies:
    """Ends the process that receives it, with status 3."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)


def test_every_way_runs_in_one_process_or_another() -> None:
    assert sorted(name for group in apart.GROUPS for name in group) == sorted(VARIANTS)


@pytest.mark.subprocess
def test_rows_arrive_as_they_are_made_and_what_is_done_is_left_out() -> None:
    done = [("capacity", 2, 3, 33)]
    first, second = apart.measured("cpu", WORK, done, PATIENCE, [("capacity", "longest", "each row")])
    assert (first["variant"], second["variant"]) == ("longest", "each row")
    assert first["milliseconds"]["median"] > 0 < second["milliseconds"]["median"]


@pytest.mark.subprocess
def test_a_process_that_dies_does_not_stop_the_next() -> None:
    done: Any = [Dies()]
    rows = list(apart.measured("cpu", WORK, done, PATIENCE, [("capacity", "longest"), ("each row",)]))
    said = "its process ended with status 3"
    assert rows == [{"variant": "capacity", "failed": said}, {"variant": "each row", "failed": said}]


@pytest.mark.subprocess
def test_what_takes_too_long_is_ended_and_left_to_the_next_run() -> None:  # it would run for days
    rows = list(apart.measured("cpu", replace(WORK, seconds=1e6), (), 0.2, apart.GROUPS))
    assert [row["variant"] for row in rows] == [name for group in apart.GROUPS for name in group]
    assert {row["skipped"] for row in rows} == {"the time was over; the next run goes on"}


def test_without_time_no_process_is_started() -> None:
    rows = list(apart.measured("cpu", WORK, (), 0.0))
    assert all("skipped" in row for row in rows) and len(rows) == len(VARIANTS)


Sent = list[list[apart.Message]]


def listen(monkeypatch: pytest.MonkeyPatch, sent: Sent) -> list[tuple[list[str], list[Any]]]:
    """Put words in the place of processes; return which ways each process was asked for, and what was done."""
    asked: list[tuple[list[str], list[Any]]] = []

    def messages(group: list[str], kind: str, work: Any, done: list[Any], until: float) -> Iterator[apart.Message]:
        asked.append((list(group), list(done)))
        yield from sent.pop(0)

    monkeypatch.setattr(apart, "_messages", messages)
    return asked


def row(way: str) -> apart.Message:
    return "row", {"variant": way, "rows": 2, "tokens": 3, "length": 33, "failed": "no"}


def test_after_its_last_word_a_process_may_end_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    listen(monkeypatch, [[("way", "flex"), row("flex"), ("ended", None)]])
    assert list(apart.measured("cpu", WORK, (), PATIENCE, [("flex",)])) == [row("flex")[1]]


def test_after_a_fault_that_spoils_cuda_another_process_has_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[apart.Message] = [("way", "capacity"), row("capacity"), ("again", None)]
    second: list[apart.Message] = [("way", "longest"), row("longest"), ("ended", None)]
    asked = listen(monkeypatch, [first, second])
    rows = list(apart.measured("cpu", WORK, (), PATIENCE, [("capacity", "longest")]))
    assert rows == [row("capacity")[1], row("longest")[1]]
    assert asked == [(["capacity", "longest"], []), (["longest"], [("capacity", 2, 3, 33)])]


def test_a_way_that_hangs_has_failed_and_the_next_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 0.0)  # so that the share does not depend on the machine
    listen(monkeypatch, [[("way", "lengths")], [("way", "flex"), row("flex"), ("ended", None)]])
    hangs, other = apart.measured("cpu", WORK, (), 60.0, [("lengths",), ("flex",)])
    assert hangs == {"variant": "lengths", "failed": "nothing came of it within 30 s"}
    assert other == row("flex")[1]
