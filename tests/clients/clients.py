"""What the tests of clients share: where a client is installed, what is asked, and what `generate` answers to it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.server import Server

ROOT = Path(__file__).parents[2]
SERVING = ROOT / ".venv" / "bin" / "python"
KEY = "the-key-of-these-tests"
MODES = ("auto", "autoregressive", "diffusion", "self_speculation")
OFFLINE = {
    "HF_HUB_OFFLINE": "1",  # Hugging Face's libraries take what is on disk, and send no usage
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # LiteLLM takes the prices that it came with
    "LITELLM_MODE": "PRODUCTION",  # it reads no .env
    "LANGSMITH_TRACING": "false",
    "ANONYMIZED_TELEMETRY": "false",
    "AI_SDK_LOG_WARNINGS": "false",
}
"""What keeps the clients from asking anybody but the server."""

HELD_OUT = (ROOT / "checkpoints" / "nano" / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
QUESTION = "What is 23 + 2221?"
ANSWER = "Answer: 2244"
MESSAGES: list[Any] = [{"role": "user", "content": QUESTION}]
LEFT, RIGHT = '{"name": "Anna", "age": ', ', "city": "Lima"}'
LONG = "a b " * 2100
"""More than the context holds."""
ENDLESS: dict[str, Any] = {"max_tokens": 1800, "temperature": 0}
"""Takes long enough to leave in the midst of it, with a mode that gives a token a pass."""


def need(module: str) -> Any:
    """Return a client's module; skip the tests of a file that asks for one that is not installed."""
    return pytest.importorskip(
        module, reason=f"{module} is not installed here: make test-clients makes its environment"
    )


def questions(count: int) -> list[str]:
    """Return so many questions of checkpoint nano's held-out ones, of all kinds."""
    asked = [item["messages"][0]["content"] for line in HELD_OUT if "messages" in (item := json.loads(line))]
    return asked[:: len(asked) // count][:count]


class ClientsServer(Server):
    """A server from the environment that serves; the clients' own environment cannot."""

    python = str(SERVING)

    @property
    def origin(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def base(self) -> str:
        """What clients of OpenAI's API call the base URL."""
        return f"{self.origin}/v1"

    def generate(self, **request: Any) -> str:
        """Return the text that `generate` answers to a request."""
        return str(self.answer(**request)["text_output"])

    def answer(self, **request: Any) -> dict[str, Any]:
        """Return all that `generate` answers to a request."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)) as connection:
            connection.request("POST", "/v2/models/nemotron_diffusion/generate", json.dumps(request))
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 200, found
        return found

    @contextmanager
    def cancelling(self) -> Iterator[None]:
        """Hold what happens inside to it: one request is cancelled, and then none runs."""
        self.settle()
        before = self.metric("trimode_requests_total", outcome="cancelled")
        yield
        self.wait_metric("trimode_requests_total", before + 1, outcome="cancelled")
        self.wait_metric("trimode_requests_running", 0)
