"""A server that speaks TLS, asked by the SDK and the command over both protocols, while its certificate is replaced."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from trimode_client import AsyncClient, Client, Tls, TrimodeClientError

from tests.server.sdk import PROMPT, Protocol, protocols
from tests.server.server import Server, free_ports, wait_until
from tests.support.certificates import Authority, Identity

LONG: Any = {"text_input": PROMPT, "max_tokens": 900, "mode": "autoregressive", "end_id": -1}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authorities") / "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authorities") / "other")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("shown")
    return Identity(folder / "cert", folder / "key")


def put(identity: Identity, to: Identity) -> None:
    shutil.copyfile(identity.cert, to.cert)
    shutil.copyfile(identity.key, to.key)


@pytest.fixture(scope="module")
def secure(
    bundle: Path, ours: Authority, shown: Identity, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    put(ours.server, shown)
    files = ("--ssl-certfile", str(shown.cert), "--ssl-keyfile", str(shown.key))
    made = Server(bundle, tmp_path_factory.mktemp("secure") / "log", *files, "--exit-timeout", "4")
    made.trusting = ssl.create_default_context(cafile=ours.ca.cert)
    with made:
        yield made


def url(server: Server, protocol: Protocol) -> str:
    port = server.grpc_port if protocol == "grpc" else server.http_port
    return f"{protocol}s://127.0.0.1:{port}"


@protocols
def test_the_sdk_asks_over_tls(secure: Server, ours: Authority, protocol: Protocol) -> None:
    with Client(url(secure, protocol), tls=Tls(ours.ca.cert)) as client:
        assert client.health().ok
        assert client.generate(text_input=PROMPT, max_tokens=2).num_output_tokens == 2
        assert len(list(client.stream(text_input=PROMPT, max_tokens=2))) > 0

    async def ask() -> int:
        async with AsyncClient(url(secure, protocol), tls=Tls(ours.ca.cert)) as client:
            return (await client.stream(text_input=PROMPT, max_tokens=2).finish()).num_output_tokens

    assert asyncio.run(ask()) == 2


@protocols
def test_trimode_health_asks_over_tls(secure: Server, ours: Authority, protocol: Protocol) -> None:
    command = [sys.executable, "-m", "trimode_client", "health", "--probe", "--url", url(secure, protocol)]
    answered = subprocess.run([*command, "--ca-file", str(ours.ca.cert)], capture_output=True, text=True, timeout=60)
    assert answered.returncode == 0 and "model ready   yes" in answered.stdout
    refused = subprocess.run([*command, "--retries", "0"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 3 and "not trusted" in refused.stderr


@protocols
def test_a_caller_without_tls_is_not_served(secure: Server, protocol: Protocol) -> None:
    with Client(url(secure, protocol).replace("s://", "://"), retries=0) as client:
        assert not client.health().live


def test_openais_package_asks_over_tls(secure: Server, ours: Authority) -> None:
    context = ssl.create_default_context(cafile=ours.ca.cert)
    http = openai.DefaultHttpxClient(verify=context)
    base = f"https://127.0.0.1:{secure.http_port}/v1"
    with http, openai.OpenAI(base_url=base, api_key="none", http_client=http) as client:
        assert client.models.list().data
        chunks = list(client.completions.create(model="nano", prompt=PROMPT, max_tokens=2, stream=True))
        assert chunks[-1].choices[0].finish_reason == "length"


def test_metrics_are_read_over_tls(secure: Server) -> None:
    assert secure.metric("trimode_requests_total") >= 0


def test_the_banner_says_https_and_the_canary_goes_on(secure: Server) -> None:
    log = secure.log.read_text()
    assert f"https://127.0.0.1:{secure.http_port}/v1" in log and "http://127.0.0.1:" not in log
    assert "restart" not in log


@protocols
def test_a_stream_goes_on_while_the_certificate_is_replaced(
    secure: Server, ours: Authority, other: Authority, shown: Identity, protocol: Protocol
) -> None:
    def served_by(authority: Authority) -> bool:
        with Client(url(secure, protocol), tls=Tls(authority.ca.cert), retries=0) as client:
            return client.health().live

    with Client(url(secure, protocol), tls=Tls(ours.ca.cert), retries=0) as client:
        stream = client.stream(**LONG)
        next(iter(stream))
        shutil.copyfile(other.server.cert, shown.cert)  # its key has not come yet
        wait_until(lambda: "the former certificates stay" in secure.log.read_text(), lambda: secure.log.read_text())
        assert served_by(ours)
        put(other.server, shown)
        wait_until(lambda: served_by(other), lambda: secure.log.read_text())
        assert not served_by(ours)
        assert stream.finish().num_output_tokens == 900
    put(ours.server, shown)
    wait_until(lambda: served_by(ours), lambda: secure.log.read_text())


def test_a_server_that_asks_for_certificates_lets_in_its_own_callers(
    bundle: Path, ours: Authority, other: Authority, tmp_path: Path
) -> None:
    options = ["--ssl-certfile", str(ours.server.cert), "--ssl-keyfile", str(ours.server.key)]
    options += ["--ssl-ca-certs", str(ours.ca.cert), "--ssl-cert-reqs", "2"]
    server = Server(bundle, tmp_path / "log", *options, "--exit-timeout", "4")
    server.trusting = ssl.create_default_context(cafile=ours.ca.cert)
    server.trusting.load_cert_chain(ours.client.cert, ours.client.key)
    with server:
        for protocol in ("grpc", "http"):
            address = f"{protocol}s://127.0.0.1:{server.grpc_port if protocol == 'grpc' else server.http_port}"
            with Client(address, tls=Tls(ours.ca.cert, ours.client.cert, ours.client.key)) as client:
                assert client.generate(text_input=PROMPT, max_tokens=2).num_output_tokens == 2
            for stranger in (Tls(ours.ca.cert), Tls(ours.ca.cert, other.client.cert, other.client.key)):
                with Client(address, tls=stranger, retries=0) as client, pytest.raises(TrimodeClientError):
                    client.generate(text_input=PROMPT, max_tokens=2)


def test_a_server_whose_certificate_is_missing_says_so_in_one_line(bundle: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    ports = [f"--{name}-port={port}" for name, port in zip(("http", "grpc", "metrics"), free_ports(3), strict=True)]
    command = [sys.executable, "-m", "trimode.server", "--bundle", str(bundle), *ports, "--ssl-certfile", str(gone)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    said = f" ERROR trimode-serve: serve_failed: --ssl-certfile {gone} cannot be read: No such file or directory"
    (line,) = ended.stderr.splitlines()
    assert line.endswith(said)
