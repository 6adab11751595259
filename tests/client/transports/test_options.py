"""The keywords of the clients, their defaults, the environment, and the headers that servers see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Literal

import grpc
import pytest
from trimode_client import AddressError, AsyncClient, Client, InvalidRequestError, Options
from trimode_client.transports.options import Connection, Settings
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.client.transports.raw_server import raw_server, single
from tests.support.fake_server import LAST, message

Seen = list[dict[str, str]]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRIMODE_URL", "TRIMODE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_the_keywords_are_the_settings() -> None:
    assert [one.name for one in fields(Settings)] == list(Options.__annotations__)


def test_an_unknown_keyword_is_an_error() -> None:
    with pytest.raises(TypeError, match="timeot"):
        Client("host:1", timeot=3.0)  # type: ignore[call-arg]


def test_fewer_than_no_retries_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="retries must be at least 0, got -1"):
        Client("host:1", retries=-1)


@pytest.mark.parametrize(
    ("url", "protocol", "environment", "shown"),
    [
        (None, None, "", "localhost:8001"),
        (None, "http", "", "http://localhost:8000"),
        (None, None, "host:9", "host:9"),
        (None, "http", "host:9", "http://host:9"),
        (None, None, "https://host", "https://host:443"),
        ("other:8", None, "host:9", "other:8"),
    ],
)
def test_the_address_is_the_argument_else_the_environments_else_the_usual_one(
    url: str | None, protocol: Any, environment: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMODE_URL", environment)
    assert str(Settings().connection(url, protocol).address) == shown


def test_a_protocol_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(AddressError, match="must be grpc or http, got 'ftp'"):
        Client(protocol="ftp")  # type: ignore[arg-type]


def headers_of(**options: Any) -> dict[str, str]:
    return dict(Settings(**options).connection("host", None).headers)


def test_names_of_headers_are_lower_case_as_grpc_wants_them() -> None:
    assert headers_of(headers={"X-Team": "Blue"}) == {"x-team": "Blue"}


def test_a_key_is_a_bearer_token() -> None:
    assert headers_of(api_key="abc") == {"authorization": "Bearer abc"}


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMODE_API_KEY", "abc")
    assert headers_of() == {"authorization": "Bearer abc"}
    assert headers_of(api_key="def") == {"authorization": "Bearer def"}
    assert headers_of(api_key="") == {}
    assert headers_of(headers={"Authorization": "Basic x"}) == {"authorization": "Basic x"}


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="give api_key or the header authorization"):
        headers_of(api_key="abc", headers={"Authorization": "Basic x"})


@pytest.mark.parametrize("name", ["", "a b", "grpc-timeout", "x-bin", "é", ":path", "a:b"])
def test_a_header_that_cannot_be_sent_is_refused_at_once(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="headers must have plain names"):
        headers_of(headers={name: "a"})


@pytest.mark.parametrize("value", ["a\r\nb: c", "é", " a", "a\x00"])
def test_a_value_that_cannot_be_sent_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"the header x must be printable ASCII$"):
        headers_of(headers={"x": value})


def test_secrets_are_not_shown() -> None:
    settings = Settings(api_key="secret", headers={"x": "secret"})
    connection = settings.connection("host", None)
    assert isinstance(connection, Connection)
    assert "secret" not in f"{settings} {connection}"


@contextmanager
def http_seen() -> Iterator[tuple[str, Seen]]:
    with raw_server(single(LAST)) as server:
        yield server.url, server.headers


@contextmanager
def grpc_seen() -> Iterator[tuple[str, Seen]]:
    seen: Seen = []

    class Recorder(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ModelStreamInfer(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
            list(requests)
            seen.append(dict(context.invocation_metadata()))
            yield message(LAST, final=True)

        def ServerLive(self, request: Any, context: Any) -> Any:
            seen.append(dict(context.invocation_metadata()))
            return service_pb2.ServerLiveResponse(live=True)

    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Recorder(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", seen
    finally:
        server.stop(0).wait()


SERVERS = {"grpc": grpc_seen, "http": http_seen}
OPTIONS: Options = {"headers": {"X-Team": "blue"}, "api_key": "abc"}


def ask_blocking(url: str, protocol: Literal["grpc", "http"]) -> None:
    with Client(url, protocol, **OPTIONS) as client:
        client.generate("hi")
        client.health()


def ask_async(url: str, protocol: Literal["grpc", "http"]) -> None:
    async def ask() -> None:
        async with AsyncClient(url, protocol, **OPTIONS) as client:
            await client.generate("hi")
            await client.health()

    asyncio.run(ask())


@pytest.mark.parametrize("protocol", SERVERS)
@pytest.mark.parametrize("ask", [ask_blocking, ask_async], ids=["blocking", "asyncio"])
def test_requests_and_questions_about_health_carry_the_headers(ask: Callable[..., None], protocol: str) -> None:
    with SERVERS[protocol]() as (url, seen):
        ask(url, protocol)
    assert len(seen) >= 2
    assert {(one["x-team"], one["authorization"]) for one in seen} == {("blue", "Bearer abc")}
