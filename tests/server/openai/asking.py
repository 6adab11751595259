"""What the tests of this face ask, and how: over plain HTTP, where the openai package would not send it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.server.server import Server
from tests.server.wire import send

NANO = Path(__file__).parents[3] / "checkpoints" / "nano"
LINES = [json.loads(line) for line in (NANO / "heldout.jsonl").read_text(encoding="utf-8").splitlines()]
MODES = ("auto", "autoregressive", "diffusion", "self_speculation")
QUESTION: list[Any] = [{"role": "user", "content": "What is 23 + 2221?"}]
ANSWER = "Answer: 2244"
ADD: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/Number"}},
    "required": ["a", "b"],
    "$defs": {"Number": {"type": "integer", "minimum": 0}},
}
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}},
    "required": ["city"],
}
SCHEMAS: dict[str, dict[str, Any]] = {"add": ADD, "weather": WEATHER, "now": {"type": "object", "properties": {}}}
"""What tools of tests take, by their names."""
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def post(server: Server, path: str, body: object) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answer = send(server.http_port, "POST", path, data)
    return status, json.loads(answer)


def refused(server: Server, path: str, body: dict[str, Any], param: str | None, code: str, status: int = 400) -> str:
    found, answer = post(server, path, body)
    error = answer["error"]
    assert (found, error["param"], error["code"]) == (status, param, code), answer
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["message"])
