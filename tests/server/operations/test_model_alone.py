"""The model's own defects, with a stand-in for the Python backend's module, which exists only inside Triton."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
from trimode.api.answer import Chunk
from trimode.errors import UNFORESEEN

TRITONS = "triton_python_backend_utils"
OURS = [f"trimode.triton.{name}" for name in ("publisher", "live_request", "housekeeper", "model")]
SECRET = "/home/operator/secret"


class Backend(ModuleType):
    """triton_python_backend_utils, as far as the model uses it."""

    def __init__(self) -> None:
        super().__init__(TRITONS)
        self.TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
        self.MetricFamily = MagicMock()
        self.TritonError = MagicMock(side_effect=lambda text, code: text)
        self.InferenceResponse = MagicMock(side_effect=lambda error: error)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    made = Backend()
    monkeypatch.setitem(sys.modules, TRITONS, made)
    for name in OURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield made
    for name in OURS:
        sys.modules.pop(name, None)


def answer_of(sender: MagicMock) -> Any:
    return sender.send.call_args.args[0]


def test_what_nobody_foresaw_in_a_request_is_in_the_log_alone(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    model = importlib.import_module("trimode.triton.model").TritonPythonModel()
    model._housekeeper, model._recorder, model._spans = MagicMock(), MagicMock(), None
    request = MagicMock()
    request.parameters.return_value = ""
    request.inputs.side_effect = FileNotFoundError(SECRET)
    model.execute([request])
    assert answer_of(request.get_response_sender()) == f"internal: {UNFORESEEN}"
    assert SECRET in caplog.text


def test_why_an_answer_could_not_be_sent_is_in_the_log_alone(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    sender = MagicMock()
    live = importlib.import_module("trimode.triton.live_request").LiveRequest("", sender, None, MagicMock())
    live.attach(MagicMock())
    live._send = MagicMock(side_effect=FileNotFoundError(SECRET))
    live.sink(Chunk())
    assert answer_of(sender) == f"internal: {UNFORESEEN}"
    assert SECRET in caplog.text
