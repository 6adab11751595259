"""Cancellations by name, early ones too, and a thread that one bad request cannot stop.

The Python backend's own module exists only inside Triton; a stand-in is imported here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from trimode.api.counters import Stats
from trimode.metrics import Recorder
from trimode.triton.recent_names import RecentNames

from tests.server.server import wait_until


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Backend(ModuleType):
    """triton_python_backend_utils, as far as the housekeeper and live requests use it."""

    def __init__(self) -> None:
        super().__init__("triton_python_backend_utils")
        self.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
        self.MetricFamily = MagicMock()


class Sender:
    """A response sender whose caller has gone when `left`, or that cannot tell."""

    def __init__(self, left: bool | None = False) -> None:
        self._left = left

    def is_cancelled(self) -> bool:
        if self._left is None:
            raise RuntimeError("no longer known")
        return self._left


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    made = Backend()
    names = [f"trimode.triton.{name}" for name in ("publisher", "live_request", "housekeeper")]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield made
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def housekeeper(backend: Backend) -> Iterator[Any]:
    module = importlib.import_module("trimode.triton.housekeeper")
    made = module.Housekeeper(Recorder(), lambda: Stats(0, 0, 0, 0, 0, 0, 0, {}, {}), "it_0_0")
    yield made
    made.close()


def accept(housekeeper: Any, name: str, sender: Sender | None = None) -> Any:
    """Bring a request in as the model does; returns its runtime handle."""
    live = importlib.import_module("trimode.triton.live_request").LiveRequest
    handle = SimpleNamespace(cancelled=False)
    handle.cancel = lambda: setattr(handle, "cancelled", True)
    handle.live = live(name, sender or Sender(), None, housekeeper.forget)
    housekeeper.watch(handle.live)
    handle.live.attach(handle)
    return handle


def test_a_live_request_is_cancelled_by_its_name(housekeeper: Any) -> None:
    mine, other = accept(housekeeper, "mine"), accept(housekeeper, "other")
    assert housekeeper.cancel("mine") == 1
    assert (mine.cancelled, other.cancelled) == (True, False)


def test_a_cancellation_that_overtakes_its_request_is_kept_for_it(housekeeper: Any) -> None:
    assert housekeeper.cancel("mine") == 0
    assert accept(housekeeper, "mine").cancelled


def test_an_early_cancellation_is_for_one_request(housekeeper: Any) -> None:
    housekeeper.cancel("mine")
    accept(housekeeper, "mine")
    assert not accept(housekeeper, "mine").cancelled


def test_a_cancellation_that_comes_too_late_is_not_kept_for_the_next_of_that_name(housekeeper: Any) -> None:
    housekeeper.forget(accept(housekeeper, "mine").live)
    assert housekeeper.cancel("mine") == 0
    assert not accept(housekeeper, "mine").cancelled


def test_requests_without_a_name_are_never_meant(housekeeper: Any) -> None:
    before = accept(housekeeper, "")
    assert housekeeper.cancel("") == 0
    assert not before.cancelled
    assert not accept(housekeeper, "").cancelled


def test_a_cancellation_between_watch_and_attach_is_not_lost(housekeeper: Any) -> None:
    live_request = importlib.import_module("trimode.triton.live_request")
    live = live_request.LiveRequest("mine", Sender(), None, housekeeper.forget)
    housekeeper.watch(live)
    assert housekeeper.cancel("mine") == 1
    handle = MagicMock()
    live.attach(handle)
    handle.cancel.assert_called_once()


def test_one_request_that_cannot_be_asked_does_not_hide_the_others(
    housekeeper: Any, caplog: pytest.LogCaptureFixture
) -> None:
    accept(housekeeper, "bad", Sender(left=None))
    gone = [accept(housekeeper, f"gone {number}", Sender(left=True)) for number in range(4)]
    wait_until(lambda: all(handle.cancelled for handle in gone), lambda: "some were not looked at", 5)
    assert len(caplog.records) == 1  # at every look, but not said each time


def test_names_are_forgotten_in_time() -> None:
    names = RecentNames(seconds=10, clock=(clock := Clock()))
    names.add("a")
    clock.now = 10
    assert "a" in names
    clock.now = 10.1
    assert "a" not in names
    assert not names.take("a")


def test_the_oldest_name_goes_when_there_are_too_many() -> None:
    names = RecentNames(most=2, clock=Clock())
    for name in ("a", "b", "a", "c"):
        names.add(name)
    assert [name in names for name in "abc"] == [True, False, True]
