"""Fetching from a real HTTP server on loopback, which tests alone may allow."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from trimode.errors import CancelledError, DeadlineError, RequestError
from trimode.vision.addresses import Address, AllowedHosts, is_public, target_of
from trimode.vision.connection import NotAllowedError, answer_of
from trimode.vision.fetch import MOST_REDIRECTS, Fetcher
from trimode.vision.until import PICTURE_SECONDS, Until

from tests.support.certificates import Authority, Identity

BODY = b"\x89PNG and so on" * 100


class Handler(BaseHTTPRequestHandler):
    """Paths say what is answered."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        what, _, rest = self.path.partition("?")[0].lstrip("/").partition("/")
        if what == "picture":
            self._send(200, BODY)
        elif what == "chunked":
            self._drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        elif what == "status":
            self._send(int(rest), b"sorry")
        elif what == "hops":
            self._to(f"/hops/{int(rest) - 1}" if int(rest) else "/picture")
        elif what == "to":
            self._to(rest)
        elif what == "claims":
            self._drip(f"HTTP/1.1 200 OK\r\nContent-Length: {rest}\r\n\r\nx".encode())
        elif what == "endless":
            self._drip(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(200_000))
        elif what == "drip":
            self._drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 4000, 0.02)
        elif what == "silent":
            self.server.over.wait(60)  # type: ignore[attr-defined]
        elif what == "garbage":
            self._drip(b"\x00\x01 what\r\n\r\n")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _to(self, where: str) -> None:
        self.send_response(302)
        self.send_header("Location", where)
        self.end_headers()

    def _drip(self, data: bytes, seconds: float = 0.0) -> None:
        """Write raw bytes, each by itself if they are to take time, until the other side has enough."""
        self.close_connection = True
        try:
            for piece in [data] if not seconds else [data[at : at + 1] for at in range(len(data))]:
                self.wfile.write(piece)
                time.sleep(seconds)
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, identity: Identity | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity.cert, identity.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.server_port}"


@contextmanager
def serving(identity: Identity | None = None) -> Iterator[Server]:
    with Server(identity) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join(60)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


def loopback(address: Address) -> bool:
    return address.is_loopback or is_public(address)


def fetcher(server: Server, *more: str, most_bytes: int = 100_000) -> Fetcher:
    return Fetcher(AllowedHosts.of(",".join([server.authority, *more])), most_bytes, loopback)


def until(seconds: float = 60.0, **more: Any) -> Until:
    return Until(time.monotonic() + seconds, **more)


def refusal(one: Fetcher, url: str, seconds: float = 60.0) -> str:
    with pytest.raises(RequestError) as caught:
        one.fetch(url, "image_url_input", until(seconds))
    assert caught.value.error_type == "bad_image_url"
    return str(caught.value)


def test_a_picture_of_an_allowed_host_comes_whole(server: Server) -> None:
    assert fetcher(server).fetch(f"http://{server.authority}/picture?a=1#b", "image", until()) == BODY
    path, headers = server.asked[-1]
    assert path == "/picture?a=1"
    assert headers["Host"] == server.authority and headers["Accept-Encoding"] == "identity"
    assert fetcher(server).fetch(f"http://{server.authority}/chunked", "image", until()) == b"hello world"


def test_a_host_that_was_not_named_is_not_asked(server: Server) -> None:
    before = len(server.asked)
    said = refusal(Fetcher(allowed=loopback), f"http://{server.authority}/picture")
    assert "--allowed-media-domains" in said
    assert len(server.asked) == before


def test_an_address_that_is_not_public_is_not_asked_even_if_it_was_named(server: Server) -> None:
    before = len(server.asked)
    one = Fetcher(AllowedHosts.of(f"{server.authority},localhost:{server.server_port}"))
    assert "must lead to public addresses alone" in refusal(one, f"http://{server.authority}/picture")
    assert "must lead to public addresses alone" in refusal(one, f"http://localhost:{server.server_port}/picture")
    assert len(server.asked) == before


def test_redirects_are_followed_a_few_times(server: Server) -> None:
    one = fetcher(server)
    assert one.fetch(f"http://{server.authority}/hops/{MOST_REDIRECTS - 1}", "image", until()) == BODY
    assert f"at most {MOST_REDIRECTS} redirects" in refusal(one, f"http://{server.authority}/hops/{MOST_REDIRECTS}")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("http://example.com/x.png", "--allowed-media-domains"),
        ("file:///etc/passwd", "must be a URL"),
        ("http://u:p@127.0.0.1/", "without a user"),
        ("//[broken/", "must not redirect to what is no URL"),
    ],
)
def test_a_redirect_is_held_to_the_same_rules(server: Server, where: str, said: str) -> None:
    assert said in refusal(fetcher(server), f"http://{server.authority}/to/{where}")


def test_a_redirect_to_a_private_address_is_refused(server: Server) -> None:
    with serving() as inner:
        one = Fetcher(
            AllowedHosts.of(f"{server.authority},localhost:{inner.server_port}"),
            allowed=lambda address: address == ip_address("127.0.0.1") and not inner.asked,
        )
        assert (
            one.fetch(f"http://{server.authority}/to/http://localhost:{inner.server_port}/picture", "image", until())
            == BODY
        )
        said = refusal(one, f"http://{server.authority}/to/http://localhost:{inner.server_port}/picture")
        assert "must lead to public addresses alone" in said
        assert len(inner.asked) == 1


def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere at the second look-up gains nothing."""
    answers = iter(["127.0.0.1"])

    def resolve(host: str, port: int, type: int) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, type, 0, "", (next(answers), port))]

    real = socket.getaddrinfo

    def spy(host: str, *rest: object, **named: object) -> object:
        return resolve(host, *rest, **named) if host == "pictures.test" else real(host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", spy)
    one = fetcher(server, f"pictures.test:{server.server_port}")
    assert one.fetch(f"http://pictures.test:{server.server_port}/picture", "image", until()) == BODY
    assert server.asked[-1][1]["Host"] == f"pictures.test:{server.server_port}"


def test_one_address_that_is_not_allowed_is_enough(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, type: int) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, type, 0, "", (address, port)) for address in ("127.0.0.1", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    target = target_of("http://pictures.test/", "image")
    with pytest.raises(NotAllowedError), answer_of(target, loopback, until()):
        pass


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("status/404", "status 404"),
        ("status/500", "status 500"),
        ("claims/999999999", "must give at most 1000 bytes, got 999999999 bytes"),
        ("claims/900", "it did not answer as HTTP does"),
        ("endless", "must give at most 1000 bytes, got more than 1000 bytes"),
        ("garbage", "it did not answer as HTTP does"),
    ],
)
def test_what_gives_no_picture_is_refused(server: Server, path: str, said: str) -> None:
    assert said in refusal(fetcher(server, most_bytes=1000), f"http://{server.authority}/{path}")


def test_a_server_that_drips_its_headers_is_left(server: Server) -> None:
    assert "it took too long" in refusal(fetcher(server), f"http://{server.authority}/drip", 0.5)


def test_a_port_where_nobody_listens_and_https_that_is_none_are_errors(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{free.getsockname()[1]}"
        one = fetcher(server, url)
        assert "it could not be reached" in refusal(one, f"http://{url}/")
        assert "it could not be reached" in refusal(one, f"https://{server.authority}/picture")


def test_a_request_that_is_cancelled_is_left_while_its_host_is_silent(server: Server) -> None:
    """Its host never answers, and its time is not over."""
    before, url = len(server.asked), f"http://{server.authority}/silent"
    with pytest.raises(CancelledError, match="was cancelled"):
        fetcher(server).fetch(url, "image", until(3600.0, cancelled=lambda: len(server.asked) > before))
    with pytest.raises(CancelledError):
        fetcher(server).fetch(url, "image", until(3600.0, cancelled=lambda: True))


def test_the_requests_own_time_is_its_own_limit(server: Server) -> None:
    """A caller who gave little time hears so, and nothing of the picture's host."""
    with pytest.raises(DeadlineError, match="within the request's timeout"):
        fetcher(server).fetch(f"http://{server.authority}/silent", "image", until(0.3, of_request=True))
    assert f"within {PICTURE_SECONDS:g} s in all" in refusal(fetcher(server), f"http://{server.authority}/silent", 0.3)


@pytest.mark.subprocess  # openssl makes the certificate
@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_https_is_read_and_never_redirects_to_http(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Schemes are compared, in whatever letters they are written."""
    authority = Authority.create(tmp_path / "certificates")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca.cert))
    with serving(authority.server) as secure:
        one, at = fetcher(server, secure.authority), f"{scheme}://{secure.authority}"
        assert one.fetch(f"{at}/picture", "image", until()) == BODY
        assert one.fetch(f"{at}/to/HTTPS://{secure.authority}/picture", "image", until()) == BODY
        assert one.fetch(f"http://{server.authority}/to/{at}/picture", "image", until()) == BODY
        before = len(server.asked)
        assert "from https to http" in refusal(one, f"{at}/to/http://{server.authority}/picture")
        assert "from https to http" in refusal(one, f"{at}/to/HTTP://{server.authority}/picture")
        assert len(server.asked) == before
        with pytest.raises(CancelledError):
            one.fetch(f"{at}/silent", "image", until(3600.0, cancelled=lambda: secure.asked[-1][0] == "/silent"))
