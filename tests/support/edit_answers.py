"""Answers of a scripted server to `trimode infill` and `trimode revise`, and the texts that tests give them."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import run
from tests.support.fake_server import LAST, Script

BEFORE = "def f:\n\treturn 1\n"
FILLED = LAST | {"text_output": "é\n", "fills": "é\n", "effective_params": '{"mode":"diffusion"}'}
REVISED = LAST | {
    "text_output": "def g:\n\treturn 1\n",
    "edits": '[{"start":4,"end":5,"before":"f","after":"g"}]',
    "effective_params": '{"mode":"diffusion"}',
}


def written(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def sent(*arguments: str) -> dict[str, Any]:
    script = Script(REVISED if arguments[0] == "revise" else FILLED)
    assert run(script, *arguments) == 0
    fields: dict[str, Any] = script.requests[0]
    return fields
