"""A server with API keys, over both protocols: who is let in, what stays open, and whose requests take turns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import openai
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2
from trimode_client import Client, TrimodeClientError

from tests.server.server import Server, wait_until
from tests.server.wire import PATH, generate, send

ALICE, BOB, CAROL = "alice-0123456789", "bob-0123456789ab", "carol-0123456789"
REQUEST = json.dumps({"text_input": "Once", "max_tokens": 2}).encode()
CHAT = {"model": "nano", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"alice {ALICE}\n{BOB}\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def closed(bundle: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(
        bundle, tmp_path_factory.mktemp("closed") / "log", "--api-key-file", str(keys), "--exit-timeout", "4"
    ) as made:
        yield made


def test_http_needs_a_key(closed: Server) -> None:
    assert generate(closed.http_port, json.loads(REQUEST))[0] == 401
    for headers in ({"Authorization": f"Bearer {ALICE}"}, {"x_api_key": BOB}):
        assert send(closed.http_port, "POST", f"{PATH}/generate", REQUEST, **headers)[0] == 200
    status, body = send(closed.http_port, "POST", f"{PATH}/generate", REQUEST, Authorization=f"Bearer {CAROL}")
    assert status == 401 and json.loads(body)["error"].startswith("unauthorized: ")
    assert ALICE not in closed.log.read_text() and "alice" in closed.log.read_text()


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/models/nemotron_diffusion", "/v1/models", "/version", "/metrics", "/v2/x"]
)
def test_nothing_is_said_without_a_key(closed: Server, path: str) -> None:
    assert send(closed.http_port, "GET", path)[0] == 401


def test_metrics_need_a_key_at_both_ports(closed: Server) -> None:
    for port in (closed.http_port, closed.metrics_port):
        assert send(port, "GET", "/metrics")[0] == 401
        status, body = send(port, "GET", "/metrics", Authorization=f"Bearer {ALICE}")
        assert status == 200 and b"trimode_requests_total" in body


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/health", "/v1/health/live"])
def test_probes_need_no_key(closed: Server, path: str) -> None:
    assert send(closed.http_port, "GET", path)[0] == 200


def test_openais_package_has_its_own_error(closed: Server) -> None:
    base = f"http://127.0.0.1:{closed.http_port}/v1"
    with openai.OpenAI(base_url=base, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.models.list()
        assert caught.value.code == "unauthorized"
        assert client.with_options(api_key=ALICE).models.list().data
    status, body = send(closed.http_port, "POST", "/v1/messages", json.dumps(CHAT).encode())
    assert status == 401 and json.loads(body)["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_our_client_sends_its_key(closed: Server, protocol: str) -> None:
    port = closed.grpc_port if protocol == "grpc" else closed.http_port
    with Client(f"{protocol}://127.0.0.1:{port}", api_key=ALICE) as client:
        assert client.generate(text_input="Once", max_tokens=2).num_output_tokens == 2
        assert len(list(client.stream(text_input="Once", max_tokens=2))) > 0
    with Client(f"{protocol}://127.0.0.1:{port}", api_key=CAROL) as client, pytest.raises(TrimodeClientError):
        client.generate(text_input="Once", max_tokens=2)


def test_grpc_needs_a_key_and_its_health_none(closed: Server) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{closed.grpc_port}") as client:
        assert client.is_server_live() and client.is_server_ready()
        with pytest.raises(triton.InferenceServerException, match="unauthorized") as caught:
            client.get_server_metadata()
        assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
        assert client.get_server_metadata(headers={"x-api-key": BOB}).name == "triton"
    with grpc.insecure_channel(f"127.0.0.1:{closed.grpc_port}") as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        answer = health_pb2.HealthCheckResponse.FromString(check(b"", timeout=30))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        call: Any = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        with pytest.raises(grpc.RpcError) as ended:
            list(call(iter(()), timeout=30))
        assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_key_that_is_taken_out_of_the_file_is_refused(closed: Server, keys: Path) -> None:
    keys.write_text(f"alice {ALICE}\ncarol {CAROL}\n", encoding="utf-8")

    def status(key: str) -> int:
        return send(closed.http_port, "GET", "/v1/models", Authorization=f"Bearer {key}")[0]

    wait_until(lambda: status(CAROL) == 200, lambda: closed.log.read_text())
    assert (status(BOB), status(ALICE)) == (401, 200)
