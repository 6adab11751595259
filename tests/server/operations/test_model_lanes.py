"""What waits for a grammar holds up nobody else, and can be cancelled or run out of time while it waits.

The Python backend's own module exists only inside Triton; a stand-in is imported here. The rest is the server's own.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from trimode.api.tensors import CANCEL, TAG
from trimode.grammar.source import Source
from trimode.grammar.trial import Trial
from trimode.metrics import Recorder
from trimode.triton.intake import Intake

from tests.server.server import wait_until
from tests.support.runtimes import building

pytestmark = pytest.mark.subprocess

TRITONS = "triton_python_backend_utils"
OURS = [f"trimode.triton.{name}" for name in ("publisher", "live_request", "housekeeper", "model")]
WAIT = 60.0
"""Seconds, generous: for an answer, and for the grammar that everybody waits for."""
PLAIN = {"text_input": "ab", "max_tokens": 2}
CHAT = {"messages": json.dumps([{"role": "user", "content": "a"}]), "max_tokens": 2}
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


class Backend(ModuleType):
    """triton_python_backend_utils, as far as the model uses it."""

    def __init__(self) -> None:
        super().__init__(TRITONS)
        self.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
        self.MetricFamily = MagicMock()
        self.TritonError = MagicMock(side_effect=lambda text, code: text)
        self.InferenceResponse = MagicMock(side_effect=lambda tensors=(), error=None: error)
        self.Tensor = MagicMock()


class Asked:
    """A request and its response sender."""

    def __init__(self, given: dict[str, Any], parameters: dict[str, Any] | None = None, timeout: int = 0) -> None:
        self.inputs = lambda: [SimpleNamespace(name=lambda name=name: name, as_numpy=lambda value=value: _array(value))
                               for name, value in given.items()]  # fmt: skip
        self.parameters = lambda: json.dumps(parameters or {})
        self.timeout = lambda: timeout
        self.request_id = lambda: ""
        self.requested_output_names = lambda: ["text_output"]
        self.get_response_sender = lambda: self
        self.left, self.error, self.done = False, None, threading.Event()

    def is_cancelled(self) -> bool:
        return self.left

    def send(self, response: Any, flags: int) -> None:
        if flags:
            self.error = response
            self.done.set()


def _array(value: Any) -> Any:
    return np.array([value.encode()], dtype=np.object_) if isinstance(value, str) else np.array([value])


def held_to(expression: str, given: dict[str, Any] = PLAIN) -> dict[str, Any]:
    return {**given, "guided_decoding_guide_type": "regex", "guided_decoding_guide": expression}


class Gate:
    """Holds every grammar that is tried, once `shut`."""

    def __init__(self, real: Callable[[Trial, Source], Any]) -> None:
        self.tried, self.began, self.open = list[str](), threading.Event(), threading.Event()
        self.open.set()
        self._real = real

    def run(self, trial: Trial, source: Source) -> Any:
        self.tried.append(source.text)
        if not self.open.is_set():
            self.began.set()
            assert self.open.wait(WAIT)
        return self._real(trial, source)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate(Trial.run)
    monkeypatch.setattr(Trial, "run", lambda trial, source: made.run(trial, source))
    return made


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, gate: Gate) -> Iterator[Any]:
    monkeypatch.setitem(sys.modules, TRITONS, Backend())
    for name in OURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("trimode.triton.model")
    housekeeper = importlib.import_module("trimode.triton.housekeeper").Housekeeper
    with building(TEMPLATE) as build:
        made = module.TritonPythonModel()
        made._runtime, made._recorder = build(), Recorder()
        made._chats, made._grammars = Intake("the chat template"), Intake("the grammars of others")
        made._pictures, made._spans = Intake("the pictures of others"), None
        made._housekeeper = housekeeper(made._recorder, made._runtime.stats, "it_0_0")
        yield made
        gate.open.set()
        made.finalize()
    for name in OURS:
        sys.modules.pop(name, None)


@pytest.fixture
def slow(model: Any, gate: Gate) -> Asked:
    """Return a request whose grammar is being tried, until the gate opens; that of a+ is known."""
    known = Asked(held_to("a+"))
    model.execute([known])
    assert known.done.wait(WAIT)
    assert known.error is None
    gate.open.clear()
    made = Asked(held_to("b+"))
    model.execute([made])
    assert gate.began.wait(WAIT)
    return made


@pytest.mark.parametrize(
    "given", [PLAIN, CHAT, held_to("a+"), held_to("a+", CHAT)], ids=["plain", "chat", "known", "known chat"]
)
def test_a_grammar_that_takes_long_holds_up_only_new_grammars(
    model: Any, gate: Gate, slow: Asked, given: dict[str, Any]
) -> None:
    other = Asked(given)
    model.execute([other])
    assert other.done.wait(WAIT)
    assert other.error is None
    assert not slow.done.is_set()
    gate.open.set()
    assert slow.done.wait(WAIT)
    assert slow.error is None


def test_a_request_is_cancelled_while_it_waits(model: Any, gate: Gate, slow: Asked) -> None:
    named, left = Asked(held_to("c+"), {TAG: "mine"}), Asked(held_to("d+", CHAT))
    model.execute([named, left, Asked({}, {CANCEL: "mine"})])
    left.left = True
    waiting = [live for live in model._housekeeper._live if live._sender in (named, left)]
    wait_until(lambda: all(live.cancelled for live in waiting), lambda: "a request that waits was not cancelled")
    gate.open.set()
    for one in (named, left):
        assert one.done.wait(WAIT)
        assert one.error == "cancelled: the request was cancelled"
    assert gate.tried == ["a+", "b+"]
    assert slow.done.wait(WAIT)


def test_its_time_runs_while_it_waits(model: Any, gate: Gate, slow: Asked) -> None:
    short = Asked(held_to("c+"), timeout=1000)
    model.execute([short])
    over = time.monotonic() + 0.001
    wait_until(lambda: time.monotonic() > over, lambda: "its millisecond did not pass")
    gate.open.set()
    assert short.done.wait(WAIT)
    assert short.error == "deadline_exceeded: the request did not begin within its timeout of 0.001 s"
    assert gate.tried == ["a+", "b+"]
