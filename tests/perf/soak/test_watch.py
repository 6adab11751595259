"""What a server holds: the most of each figure, by the minute."""

from __future__ import annotations

import os

import pytest
from trimode_perf.soak import watch

from tests.server.server import wait_until


def test_the_most_of_each_figure() -> None:
    samples = [
        {"memory_mib": {"stub": 1.0}, "shm_mib": 3.0},
        {"memory_mib": {"stub": 2.0, "helpers": 5.0}, "shm_mib": 2.0},
    ]
    assert watch.most(samples) == {"memory_mib": {"stub": 2.0, "helpers": 5.0}, "shm_mib": 3.0}


def test_a_process_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "running", lambda http: 3)
    found = watch.look(os.getpid(), "")
    assert found["memory_mib"][watch.FRONT] > 5
    assert found["files"][watch.FRONT] > 2
    assert found["threads"][watch.FRONT] >= 1
    assert (found["requests"], found["shm_mib"]) == (3, 0)


def test_looks_within_a_minute_are_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SECONDS", 0.001)
    monkeypatch.setattr(watch, "look", lambda root, http: {"requests": 3})
    with watch.Watch(1, "") as watching:
        wait_until(lambda: bool(watching.minutes), lambda: "nobody looks")
    (minute,) = watching.minutes
    assert minute == {"requests": 3}


def test_a_look_that_fails_is_raised_where_the_block_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: int, http: str) -> watch.Sample:
        raise OSError("nobody listens")

    monkeypatch.setattr(watch, "SECONDS", 0.001)
    monkeypatch.setattr(watch, "look", fail)
    with pytest.raises(OSError, match="nobody listens"), watch.Watch(1, "") as watching:
        watching._thread.join(30)
