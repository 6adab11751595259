"""What callers over HTTP hear while the backend is gone, and when the server stops before an answer is complete."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from trimode.errors import ERROR_TYPES

from tests.server.server import Server
from tests.server.wire import PATH, SECONDS, events, generate

SHORT: dict[str, Any] = {"input_ids": [5], "max_tokens": 1}
LONG: dict[str, Any] = {"text_input": "Once", "mode": "autoregressive", "max_tokens": 1900, "end_id": -1}
STOPPED = "engine_failed: the server stopped before the answer was complete"


@pytest.fixture
def alone(bundle: Path, tmp_path: Path) -> Iterator[Server]:
    with Server(bundle, tmp_path / "log", "--exit-timeout", "0") as made:
        yield made
        made.kill()


def answered(port: int, path: str) -> tuple[int, http.client.HTTPMessage, str]:
    """Status, headers and the first error of a short request, "" if there is none."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        connection.request("POST", f"{PATH}/{path}", json.dumps(SHORT))
        answer = connection.getresponse()
        text = answer.read().decode().removeprefix("data: ").partition("\n")[0]
        return answer.status, answer.headers, json.loads(text).get("error", "")


@pytest.mark.parametrize("path", ["generate", "generate_stream"])
@pytest.mark.parametrize("hurt", [psutil.Process.kill, psutil.Process.suspend], ids=["kill", "halt"])
@pytest.mark.parametrize("whom", ["stub", "triton"])
def test_every_error_while_the_backend_is_gone_has_a_type(
    alone: Server, whom: str, hurt: Callable[[psutil.Process], None], path: str
) -> None:
    before = alone.triton
    hurt(getattr(alone, whom))
    errors = []
    while True:
        status, headers, error = answered(alone.http_port, path)
        if not error:
            break
        errors.append(error)
        kind = error.partition(":")[0]
        assert kind in ("unavailable", "engine_failed"), error
        assert status in (200, ERROR_TYPES[kind].http_status)  # 200 for a stream that had begun
        assert (headers["Retry-After"] == "1") == (status == 503)
    assert errors or alone.triton != before
    assert "Traceback" not in alone.log.read_text()


def test_callers_hear_that_the_server_stopped(alone: Server) -> None:
    whole: list[Any] = []
    asking = threading.Thread(target=lambda: whole.append(generate(alone.http_port, LONG)))
    asking.start()
    stream = events(alone.http_port, {**LONG, "stream": True})
    next(stream)
    alone.wait_metric("trimode_requests_running", 2)
    alone.process.send_signal(signal.SIGTERM)
    assert list(stream)[-1] == {"error": STOPPED}
    asking.join(SECONDS)
    assert whole == [(500, {"error": STOPPED})]
    assert alone.wait() == 0
    assert "Traceback" not in alone.log.read_text()
