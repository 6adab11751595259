"""A server with keys that pages of one origin may ask: its answers, errors and streams, and the question before."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.server.server import Server
from tests.server.wire import PATH, SECONDS

KEY = "alice-0123456789"
PAGE, OTHER = "https://page.example", "https://other.example"
REQUEST = {"text_input": "Once", "max_tokens": 2}
COMPLETION = {"model": "nano", "prompt": "Once", "max_tokens": 2}


@pytest.fixture(scope="module")
def shared(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("origins") / "log"
    with Server(bundle, log, "--api-key", f"alice {KEY}", "--allowed-origins", PAGE, "--exit-timeout", "4") as made:
        yield made


def asked(server: Server, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, str]]:
    """The status and the headers, with names in lower case."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=SECONDS)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), given)
        answer = connection.getresponse()
        answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{PATH}/generate", REQUEST, 200),
        (f"{PATH}/generate_stream", {**REQUEST, "stream": True}, 200),
        (f"{PATH}/generate", {"max_tokens": -1}, 400),
        ("/v1/completions", COMPLETION, 200),
        ("/v1/completions", {**COMPLETION, "stream": True}, 200),
        ("/v1/completions", {**COMPLETION, "max_tokens": -1}, 400),
        ("/v1/nothing", {}, 404),
        ("/nothing", {}, 404),
    ],
)
def test_a_page_may_read_every_answer(shared: Server, path: str, body: object, status: int) -> None:
    found, headers = asked(shared, "POST", path, body, Origin=PAGE, Authorization=f"Bearer {KEY}")
    assert (found, headers["access-control-allow-origin"], headers["vary"]) == (status, PAGE, "Origin")
    found, headers = asked(shared, "POST", path, body, Origin=OTHER, Authorization=f"Bearer {KEY}")
    assert found == status and "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", [f"{PATH}/generate", "/v1/completions"])
def test_a_page_without_a_key_may_read_why_it_is_refused(shared: Server, path: str) -> None:
    status, headers = asked(shared, "POST", path, REQUEST, Origin=PAGE)
    assert (status, headers["access-control-allow-origin"]) == (401, PAGE)


@pytest.mark.parametrize("path", [f"{PATH}/generate_stream", "/v1/chat/completions", "/v2/health/ready"])
def test_a_browser_may_ask_first_without_a_key(shared: Server, path: str) -> None:
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    status, headers = asked(shared, "OPTIONS", path, Origin=PAGE, **asks)
    assert (status, headers["access-control-allow-headers"]) == (204, "authorization")
    _, headers = asked(shared, "OPTIONS", path, Origin=OTHER, **asks)
    assert "access-control-allow-origin" not in headers


def test_a_server_without_the_option_says_nothing_to_browsers(server: Server) -> None:
    status, headers = asked(server, "POST", f"{PATH}/generate", REQUEST, Origin=PAGE)
    assert status == 200 and not any(name.startswith("access-control") for name in headers)
