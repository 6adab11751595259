"""Both protocols over TLS: who is trusted, who is refused, and what the error says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode_client import AsyncClient, Client, Completion, Tls, TlsError, TrimodeClientError, UnavailableError
from trimode_client.transports.tls import tls_words

from tests.client.transports.tls_front import tls_front
from tests.support.certificates import Authority
from tests.support.fake_server import FIRST, LAST, SERVERS, Script

pytestmark = pytest.mark.subprocess  # openssl makes the certificates

Asker = Callable[..., Completion]
SCHEMES = {"grpc": "grpcs", "http": "https"}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls") / "other")


def ask_blocking(url: str, **options: Any) -> Completion:
    with Client(url, timeout=10.0, retries=0, **options) as client:
        return client.stream("hi").finish()


def ask_async(url: str, **options: Any) -> Completion:
    async def ask() -> Completion:
        async with AsyncClient(url, timeout=10.0, retries=0, **options) as client:
            return await client.stream("hi").finish()

    return asyncio.run(ask())


@pytest.fixture(params=[ask_blocking, ask_async], ids=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Asker:
    asker: Asker = request.param
    return asker


@pytest.fixture(params=SCHEMES)
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_a_server_whose_authority_is_given_is_trusted(ask: Asker, protocol: str, ours: Authority) -> None:
    with SERVERS[protocol](Script(FIRST, LAST)) as plain, tls_front(plain, ours) as at:
        assert ask(f"{SCHEMES[protocol]}://{at}", tls=Tls(ours.ca.cert)).text == "Hello"
        assert ask(at, protocol=protocol, tls=Tls(str(ours.ca.cert))).text == "Hello"


@pytest.mark.parametrize("given", ["another", "the public ones"])
def test_a_server_of_another_authority_is_refused(
    ask: Asker, protocol: str, given: str, ours: Authority, other: Authority
) -> None:
    tls = Tls(other.ca.cert) if given == "another" else True
    with (
        SERVERS[protocol](Script(FIRST, LAST)) as plain,
        tls_front(plain, ours) as at,
        pytest.raises(TlsError, match=rf"^{SCHEMES[protocol]}://{at} has a certificate that is not trusted; ca_file"),
    ):
        ask(f"{SCHEMES[protocol]}://{at}", tls=tls)


def test_a_certificate_for_another_name_is_refused(ask: Asker, protocol: str, ours: Authority) -> None:
    with (
        SERVERS[protocol](Script(FIRST, LAST)) as plain,
        tls_front(plain, ours, shown=ours.client) as at,
        pytest.raises(TlsError, match="has a certificate for another name"),
    ):
        ask(f"{SCHEMES[protocol]}://{at}", tls=Tls(ours.ca.cert))


def test_a_server_without_tls_is_named_so(ask: Asker, protocol: str) -> None:
    with SERVERS[protocol](Script(FIRST, LAST)) as plain, pytest.raises(TlsError, match="does not speak TLS"):
        ask(f"{SCHEMES[protocol]}://{plain}")


def test_a_server_with_tls_that_is_spoken_to_without_is_an_error_of_the_tree(
    ask: Asker, protocol: str, ours: Authority
) -> None:
    hint = "Connection reset|Socket closed" if protocol == "grpc" else "if it wants TLS, write https://"
    with (
        SERVERS[protocol](Script(FIRST, LAST)) as plain,
        tls_front(plain, ours) as at,
        pytest.raises(TrimodeClientError, match=hint),
    ):
        ask(at, protocol=protocol)


def test_a_server_may_want_a_certificate_of_the_client(ask: Asker, protocol: str, ours: Authority) -> None:
    tls = Tls(ours.ca.cert, ours.client.cert, ours.client.key)
    with SERVERS[protocol](Script(FIRST, LAST)) as plain, tls_front(plain, ours, mutual=True) as at:
        assert ask(f"{SCHEMES[protocol]}://{at}", tls=tls).text == "Hello"


@pytest.mark.parametrize("shown", ["none", "another authority's"])
def test_a_client_without_the_certificate_that_is_wanted_is_refused(
    ask: Asker, protocol: str, shown: str, ours: Authority, other: Authority
) -> None:
    """The refusal comes after the handshake, and its reason is lost if the connection is reset before it is read."""
    tls = Tls(ours.ca.cert) if shown == "none" else Tls(ours.ca.cert, other.client.cert, other.client.key)
    with (
        SERVERS[protocol](Script(FIRST, LAST)) as plain,
        tls_front(plain, ours, mutual=True) as at,
        pytest.raises(UnavailableError if protocol == "grpc" else TrimodeClientError),
    ):
        ask(f"{SCHEMES[protocol]}://{at}", tls=tls)


def test_the_certificate_may_hold_its_key(ours: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(ours.client.cert.read_bytes() + ours.client.key.read_bytes())
    _, key, certificate = Tls(cert_file=both).pem()
    assert key == certificate == both.read_bytes()
    assert Tls(cert_file=both).context() is not Tls().context()


@pytest.mark.parametrize("url", ["grpcs://host", "https://host"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_wrong_file_is_named_when_the_client_is_made(
    kind: type[Client] | type[AsyncClient], url: str, ours: Authority, other: Authority, tmp_path: Path
) -> None:
    text = tmp_path / "text.pem"
    text.write_text("hello")
    for tls, because in (
        (Tls(tmp_path / "none.pem"), r"ca_file .*none\.pem cannot be read: No such file"),
        (Tls(tmp_path), "cannot be read: Is a directory"),
        (Tls(text), r"ca_file .*text\.pem holds no certificates"),
        (Tls(cert_file=text), "must be a certificate and its key"),
        (Tls(cert_file=ours.client.cert, key_file=other.client.key), "must be a certificate and its key"),
        (Tls(key_file=ours.client.key), "key_file needs cert_file"),
    ):
        with pytest.raises(TlsError, match=because):
            kind(url, tls=tls)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "does not speak TLS"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "wants a certificate of the client; give cert_file"),
        ("TLSV1_ALERT_UNKNOWN_CA", "refuses the client's certificate"),
        ("Unwrap failed (TSI_DATA_CORRUPTED)", "wants a certificate of the client, or refuses"),
        ("certificate verify failed: Hostname mismatch", "has a certificate for another name"),
        ("certificate verify failed: certificate has expired", "has a certificate that is not trusted"),
        ("something else", "cannot be spoken to over TLS: something else"),
    ],
)
def test_what_is_said_of_a_failure(cause: str, words: str) -> None:
    assert tls_words(cause).startswith(words)
