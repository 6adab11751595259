"""The HTTP face: what it lets through, what it keeps out, and the metrics beside it."""

from __future__ import annotations

import json
import socket

import pytest
from trimode.metrics import ACCEPTED_FREE, AUTO_CYCLES, FREE_DRAFT_TOKENS, METRICS

from tests.server.server import Server
from tests.server.wire import PATH, generate, send

ADMIN = (
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/nemotron_diffusion/load"),
    ("POST", "/v2/repository/models/nemotron_diffusion/unload"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/systemsharedmemory/region/x/register"),
    ("GET", "/v2/cudasharedmemory/status"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/logging"),
    ("GET", f"{PATH}/../../repository/index"),
    ("GET", "/v2/models/%2e%2e/repository/index"),
    ("GET", "/"),
)


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_admin_calls_are_not_served(server: Server, method: str, path: str) -> None:
    status, body = send(server.http_port, method, path, b"{}" if method == "POST" else None)
    assert status == 404
    assert json.loads(body)["error"].startswith("not_found: ")


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", f"{PATH}/ready", f"{PATH}/versions/1/ready"])
def test_health(server: Server, path: str) -> None:
    assert send(server.http_port, "GET", path)[0] == 200


@pytest.mark.parametrize("path", ["/v2", PATH, f"{PATH}/config", f"{PATH}/stats", "/v2/models/stats"])
def test_metadata(server: Server, path: str) -> None:
    status, body = send(server.http_port, "GET", path)
    assert status == 200
    assert json.loads(body)


def test_the_wrong_method(server: Server) -> None:
    assert send(server.http_port, "GET", f"{PATH}/generate")[0] == 405


@pytest.mark.parametrize("path", [f"{PATH}/infer", f"{PATH}/versions/1/infer"])
def test_infer_names_what_to_use_instead(server: Server, path: str) -> None:
    status, body = send(server.http_port, "POST", path, b"{}", Inference_Header_Content_Length="\xe9")
    error = json.loads(body)["error"]
    assert (status, error.partition(":")[0]) == (400, "not_applicable")
    assert "/generate" in error
    assert "gRPC" in error


def test_another_model(server: Server) -> None:
    assert send(server.http_port, "POST", "/v2/models/other/generate", b'{"text_input": "x"}')[0] == 404


def test_form_encoded_is_taken_as_json(server: Server) -> None:
    body, form = b'{"input_ids": [5], "max_tokens": 1}', "application/x-www-form-urlencoded"
    assert send(server.http_port, "POST", f"{PATH}/generate", body, Content_Type=form)[0] == 200


def test_parameters_and_fields_are_one(server: Server) -> None:
    request = {"input_ids": [5], "parameters": {"max_tokens": 2, "return_num_output_tokens": True, "end_id": -1}}
    assert generate(server.http_port, request)[1]["num_output_tokens"] == 2


def test_a_field_given_twice_is_refused(server: Server) -> None:
    status, body = generate(server.http_port, {"input_ids": [5], "max_tokens": 1, "parameters": {"max_tokens": 2}})
    assert (status, body["error"].partition(":")[0]) == (400, "given_twice")


def test_null_is_not_given(server: Server) -> None:
    assert generate(server.http_port, {"input_ids": [5], "max_tokens": 1, "threshold": None})[0] == 200


def test_an_id_comes_back(server: Server) -> None:
    assert generate(server.http_port, {"id": "mine", "input_ids": [5], "max_tokens": 1})[1]["id"] == "mine"


def test_curl_waits_for_leave_to_send_a_large_body(server: Server) -> None:
    body = b'{"input_ids": [5], "max_tokens": 1}'
    head = f"POST {PATH}/generate HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


ELSEWHERE = (AUTO_CYCLES, FREE_DRAFT_TOKENS, ACCEPTED_FREE)
COUNTED = [m.name for m in METRICS if m.kind == "counter" and "mode" in m.labels and m not in ELSEWHERE]


@pytest.mark.parametrize("name", COUNTED)
def test_a_request_is_counted(server: Server, name: str) -> None:
    server.settle()
    labels = {"mode": "self_speculation"}
    before = server.metric(name, **labels)
    request = {"text_input": "Once", "max_tokens": 30, "end_id": -1, "return_perf_metrics": True, **labels}
    answer = generate(server.http_port, {**request, "return_num_input_tokens": True})[1]
    cost = {
        "trimode_requests_total": 1,
        "trimode_prompt_tokens_total": answer["num_input_tokens"],
        "trimode_output_tokens_total": 30,
        "trimode_forwards_total": answer["forwards"] + answer["prefill_forwards"],
        "trimode_draft_tokens_total": answer["total_draft_tokens"],
        "trimode_accepted_draft_tokens_total": answer["total_accepted_draft_tokens"],
    }
    server.wait_metric(name, before + cost[name], **labels)


def test_what_auto_chose_is_counted(server: Server) -> None:
    server.settle()
    before = server.metric(AUTO_CYCLES.name)
    asked = {"text_input": "Once", "max_tokens": 30, "end_id": -1, "mode": "auto", "return_perf_metrics": True}
    chosen = json.loads(generate(server.http_port, asked)[1]["auto"])
    assert sum(chosen["cycles"].values()) >= 3
    server.wait_metric(AUTO_CYCLES.name, before + sum(chosen["cycles"].values()))


def test_engine_passes_are_counted(server: Server) -> None:
    server.settle()
    before = server.metric("trimode_engine_passes_total")
    generate(server.http_port, {"input_ids": [5], "max_tokens": 20, "end_id": -1, "mode": "autoregressive"})
    server.settle()
    assert server.metric("trimode_engine_passes_total") >= before + 20
