"""The SDK where something is in the way: a gateway that wants TLS, a server that is full, a backend that dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from trimode_client import AsyncClient, Client, Completion, EngineError, OverloadedError, Tls, TlsError

from tests.client.transports.tls_front import tls_front
from tests.server.sdk import Protocol, client, protocols, run, url
from tests.server.server import Server, wait_until
from tests.support.certificates import Authority

QUESTION = "What is 23 + 2221?"
LONG: dict[str, Any] = {"mode": "autoregressive", "max_tokens": 1500, "end_id": -1}
PATIENT = 12  # repetitions, so that a server can start again meanwhile


@pytest.fixture(scope="module")
def small(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one place and no queue."""
    log = tmp_path_factory.mktemp("trouble") / "log"
    with Server(bundle, log, TRIMODE_MAX_SLOTS="1", TRIMODE_MAX_QUEUE="0") as made:
        yield made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls") / "authority")


def generate_blocking(at: str, protocol: Protocol, question: str, **options: Any) -> Completion:
    knobs = options.pop("knobs", {})
    with Client(at, protocol, timeout=60.0, **options) as asking:
        return asking.generate(question, **knobs)


def generate_async(at: str, protocol: Protocol, question: str, **options: Any) -> Completion:
    knobs = options.pop("knobs", {})

    async def ask() -> Completion:
        async with AsyncClient(at, protocol, timeout=60.0, **options) as asking:
            return await asking.generate(question, **knobs)

    return asyncio.run(ask())


def overloaded(server: Server) -> float:
    return server.metric("trimode_requests_total", outcome="overloaded")


both = pytest.mark.parametrize("generate", [generate_blocking, generate_async], ids=["blocking", "asyncio"])


@protocols
@both
def test_a_question_goes_through_a_gateway_with_tls(
    server: Server, protocol: Protocol, generate: Callable[..., Completion], authority: Authority
) -> None:
    tls = Tls(authority.ca.cert, authority.client.cert, authority.client.key)
    with tls_front(url(server, protocol), authority, mutual=True) as at:
        assert generate(at, protocol, QUESTION, tls=tls, api_key="abc").text.endswith("Answer: 2244")
        with pytest.raises(TlsError, match="ca_file names its authority"):
            generate(at, protocol, QUESTION, tls=True)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_command_line_goes_through_it_too(server: Server, protocol: Protocol, authority: Authority) -> None:
    given = ["--ca-file", str(authority.ca.cert), "--header", "x-team: blue"]
    scheme = {"grpc": "grpcs", "http": "https"}[protocol]
    with tls_front(url(server, protocol), authority) as at:
        shown = run(server, "generate", QUESTION, "--url", f"{scheme}://{at}", *given)
        refused = run(server, "generate", QUESTION, "--url", f"{scheme}://{at}", check=False)
    assert shown.stdout.endswith("Answer: 2244\n")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith(f"trimode: {scheme}://{at} has a certificate that is not trusted")
    assert refused.stderr.count("\n") == 1


@protocols
def test_a_server_that_is_full_says_so_and_when_to_come_back(small: Server, protocol: Protocol) -> None:
    small.settle()
    with client(small, protocol) as asking, asking.stream(QUESTION, **LONG) as stream:
        next(stream)
        with pytest.raises(OverloadedError) as caught:
            generate_blocking(url(small, protocol), protocol, QUESTION, retries=0)
    assert caught.value.retry_after == (1.0 if protocol == "http" else None)


@protocols
@both
def test_a_question_to_a_server_that_is_full_is_answered_once_it_has_a_place(
    small: Server, protocol: Protocol, generate: Callable[..., Completion]
) -> None:
    small.settle()
    refused = overloaded(small)
    with client(small, protocol) as asking, ThreadPoolExecutor(1) as pool:
        with asking.stream(QUESTION, **LONG) as stream:
            next(stream)
            answer = pool.submit(generate, url(small, protocol), protocol, QUESTION, retries=PATIENT)
            wait_until(lambda: overloaded(small) > refused, lambda: "it was not refused")
        assert answer.result().text.endswith("Answer: 2244")


@protocols
@both
def test_an_answer_that_a_dying_backend_took_with_it_is_asked_for_again(
    small: Server, protocol: Protocol, generate: Callable[..., Completion]
) -> None:
    small.settle()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(generate, url(small, protocol), protocol, QUESTION, retries=PATIENT, knobs=LONG)
        small.wait_metric("trimode_requests_running", 1)
        small.stub.kill()
        assert answer.result().num_output_tokens == LONG["max_tokens"]
    small.wait_ready()


@protocols
def test_a_stream_whose_backend_died_ends_with_an_error_that_says_to_try_again(
    small: Server, protocol: Protocol
) -> None:
    small.settle()
    with client(small, protocol) as asking, asking.stream(QUESTION, **LONG) as stream:
        next(stream)
        small.stub.kill()
        with pytest.raises(EngineError) as caught:
            stream.finish()
    assert caught.value.retryable
    small.wait_ready()
