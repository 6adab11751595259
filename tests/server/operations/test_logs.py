"""The log of a real server: one form for all lines, and one request's life by its id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trimode.api.tensors import MODEL_NAME

from tests.server.server import Server, wait_until
from tests.server.wire import GrpcStream, ask, send

PATH = f"/v2/models/{MODEL_NAME}"
ASKED = {"input_ids": [5, 6, 7], "mode": "autoregressive", "max_tokens": 4}
FRONT, PASS, LAST = "trimode.server.guard", "trimode.scheduling.scheduler", "trimode.triton.live_request"


@pytest.fixture(scope="module")
def talkative(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--log-format", "json", "--log-level", "debug")
    with Server(bundle, tmp_path_factory.mktemp("talkative") / "log", *options, "--", "--log-verbose=1") as made:
        yield made


def lines(server: Server) -> list[dict[str, Any]]:
    """Every whole line of the log."""
    return [
        json.loads(line) for line in server.log.read_text(encoding="utf-8").splitlines(keepends=True) if "\n" in line
    ]


def life_of(server: Server, name: str, *lasts: str) -> list[dict[str, Any]]:
    """The lines about a request, once each process has said that it is over: the model's come through a pipe."""

    def found() -> list[dict[str, Any]]:
        return [line for line in lines(server) if name in line.get("request_id", "").split(",")]

    def over() -> bool:
        said = [line["message"] for line in found()]
        return all(any(text.startswith(last) for text in said) for last in lasts)

    wait_until(over, server.log.read_text, 60)
    return found()


def test_every_line_is_json_also_tritons(talkative: Server) -> None:
    found = lines(talkative)
    assert {"trimode-serve", "tritonserver"} <= {line["logger"] for line in found}
    assert any(line["message"].startswith("ready: nano") for line in found)
    tables = [line["level"] for line in found if line["message"].startswith(("| Model ", "+---"))]
    assert tables and set(tables) == {"INFO"}


def test_a_request_over_http_has_one_id_from_the_front_to_the_pass(talkative: Server) -> None:
    status, _ = send(talkative.http_port, "POST", f"{PATH}/generate", json.dumps(ASKED).encode(), x_request_id="http-1")
    assert status == 200
    found = life_of(talkative, "http-1", "answered with 200", "ended with length")
    assert {FRONT, PASS, LAST} <= {line["logger"] for line in found}
    said = [line["message"] for line in found]
    assert said[0] == f"POST {PATH}/generate from 127.0.0.1"
    assert any(text.startswith("a pass of 1 rows and 3 tokens") for text in said)
    assert any(text.startswith("ended with length") for text in said)


def test_an_id_in_the_body_names_the_request_too(talkative: Server) -> None:
    assert (
        send(talkative.http_port, "POST", f"{PATH}/generate", json.dumps({**ASKED, "id": "body-1"}).encode())[0] == 200
    )
    assert PASS in {line["logger"] for line in life_of(talkative, "body-1", "answered with 200", "ended with length")}


def test_a_request_without_an_id_gets_one_and_is_given_it(talkative: Server) -> None:
    answer = ask(talkative.http_port, "POST", f"{PATH}/generate_stream", json.dumps(ASKED).encode())
    name = answer.headers["X-Request-Id"]
    assert name and PASS in {
        line["logger"] for line in life_of(talkative, name, "answered with 200", "ended with length")
    }


def test_a_request_of_openais_api_has_its_id_at_the_pass(talkative: Server) -> None:
    body = json.dumps({"model": "nano", "prompt": [5, 6, 7], "max_tokens": 4}).encode()
    assert send(talkative.http_port, "POST", "/v1/completions", body, x_request_id="openai-1")[0] == 200
    assert PASS in {line["logger"] for line in life_of(talkative, "openai-1", "answered with 200", "ended with length")}


def test_a_message_over_grpc_is_named_by_its_id_or_by_its_calls(talkative: Server) -> None:
    with GrpcStream(talkative.grpc_port, x_request_id="call-1") as stream:
        for request_id in ("message-1", ""):
            stream.send(ASKED, request_id=request_id)
            assert list(stream.answers())
    for name in ("message-1", "call-1-1"):
        assert PASS in {line["logger"] for line in life_of(talkative, name, "ended with length")}


def test_a_refusal_says_why_with_the_id(talkative: Server) -> None:
    body = json.dumps({**ASKED, "max_tokens": 0}).encode()
    assert send(talkative.http_port, "POST", f"{PATH}/generate", body, x_request_id="bad-1")[0] == 400
    said = [line["message"] for line in life_of(talkative, "bad-1", "answered with 400")]
    assert any(text.startswith("refused: invalid_value: max_tokens") for text in said)


def test_a_quiet_server_says_nothing_of_requests_that_go_well(server: Server) -> None:
    before = server.log.read_text()
    assert (
        send(server.http_port, "POST", f"{PATH}/generate", json.dumps(ASKED).encode(), x_request_id="quiet-1")[0] == 200
    )
    server.settle()
    assert "quiet-1" not in server.log.read_text().removeprefix(before)
