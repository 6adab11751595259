"""A request that waited before it was checked: that time is its own too."""

from __future__ import annotations

import time
from typing import Any

import pytest
from trimode.errors import DeadlineError

from tests.support.runtimes import Build
from tests.support.sink import Sink

ASKED = {"input_ids": [3], "max_tokens": 2}


@pytest.mark.parametrize("given", [ASKED, {"segments": ["a", {"infill_tokens": 2}, "b"]}], ids=["generate", "infill"])
def test_what_it_waited_before_counts(build: Build, given: dict[str, Any]) -> None:
    sink, arrived = Sink(), time.monotonic() - 100.0
    build().submit(given, sink, arrived=arrived)
    assert sink.done.wait(60)
    assert sink.last.error is None
    assert sink.last.seconds >= 100.0


def test_the_queue_is_entered_at_arrival(build: Build) -> None:
    sink, arrived = Sink(), time.monotonic() - 100.0
    build().submit(ASKED, sink, arrived=arrived)
    assert sink.done.wait(60)
    assert sink.last.timing is not None
    assert sink.last.timing.submitted == arrived


def test_one_whose_time_is_over_does_not_begin(build: Build) -> None:
    with pytest.raises(DeadlineError, match=r"did not begin within its timeout of 50.000 s"):
        build().submit(ASKED, Sink(), timeout_ms=50_000, arrived=time.monotonic() - 100.0)
