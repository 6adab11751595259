"""The order in which a request of Triton's ends; what its stub imports is stood in for, since there is none here."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from trimode.errors import RequestError

MODULE = "trimode.triton.live_request"


@pytest.fixture
def live_request(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    stub: Any = ModuleType("triton_python_backend_utils")
    stub.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    stub.TritonError = lambda text, code: text
    stub.TritonError.INVALID_ARG = 3
    stub.InferenceResponse = lambda error: error
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    yield importlib.import_module(MODULE)
    sys.modules.pop(MODULE)


def test_a_refusal_is_sent_before_its_spans_are_made(live_request: ModuleType) -> None:
    done: list[str] = []
    sender = SimpleNamespace(send=lambda response, flags: done.append(response))
    live = live_request.LiveRequest("", sender, None, lambda live: done.append("closed"))
    live.traced = SimpleNamespace(refused=lambda error: done.append("traced"))
    live.refuse(RequestError("seed", "must be an integer", "x"))
    assert [done[0], done[2]] == ["closed", "traced"] and "seed" in done[1]
