"""Certificates of the server: which files are refused at the start, and what a change of one does to each face."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from trimode.api.tensors import MODEL_NAME
from trimode.errors import ServeError
from trimode.server.access.entry import Entry
from trimode.server.access.tls import NOT_ASKED, OPTIONAL, REQUIRED, ServerTls, TlsFiles
from trimode.server.backend_client import BackendClient
from trimode.server.grpc_front.front import GrpcFront
from trimode.server.grpc_front.listener import listen as listen_grpc
from trimode.server.http_front.listener import listen
from trimode.server.models.model_backend import ModelBackend
from trimode.server.models.model_backends import ModelBackends
from trimode.server.ports import LOOPBACK, free_port
from trimode.server.serving import Limits
from tritonclient.grpc import service_pb2 as pb

from tests.support.certificates import Authority, Identity
from tests.support.kserve import State

pytestmark = pytest.mark.subprocess  # openssl makes the certificates


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls") / "other")


@pytest.fixture
def shown(ours: Authority, tmp_path: Path) -> Identity:
    """The server's certificate and key, in files that a test may change."""
    made = Identity(tmp_path / "cert", tmp_path / "key")
    put(ours.server, made)
    return made


def put(identity: Identity, to: Identity) -> None:
    shutil.copyfile(identity.cert, to.cert)
    shutil.copyfile(identity.key, to.key)


def test_without_options_there_is_no_tls() -> None:
    assert TlsFiles.of(None, None, None, NOT_ASKED) is None


def test_one_file_may_hold_the_certificate_and_its_key(ours: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.write_bytes(ours.server.cert.read_bytes() + ours.server.key.read_bytes())
    assert ServerTls(TlsFiles(both)).context.newest.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((None, Path("k"), None, NOT_ASKED), "--ssl-keyfile k needs --ssl-certfile"),
        ((None, None, Path("a"), NOT_ASKED), "--ssl-ca-certs a needs --ssl-certfile"),
        ((None, None, None, REQUIRED), "--ssl-cert-reqs 2 needs --ssl-certfile"),
        ((Path("c"), None, Path("a"), NOT_ASKED), "need each other.*got --ssl-ca-certs a, --ssl-cert-reqs 0"),
        ((Path("c"), None, None, OPTIONAL), "need each other.*got --ssl-ca-certs None, --ssl-cert-reqs 1"),
        ((Path("c"), None, None, REQUIRED), "need each other.*got --ssl-ca-certs None, --ssl-cert-reqs 2"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: tuple[Path | None, Path | None, Path | None, int], said: str
) -> None:
    with pytest.raises(ServeError, match=said):
        TlsFiles.of(*options)


def refused(files: TlsFiles) -> str:
    with pytest.raises(ServeError) as caught:
        ServerTls(files)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_file_that_cannot_be_used_is_named(ours: Authority, other: Authority, tmp_path: Path) -> None:
    cert, key, gone, text = ours.server.cert, ours.server.key, tmp_path / "gone", tmp_path / "text"
    text.write_text("no certificate", encoding="utf-8")
    assert refused(TlsFiles(gone, key)) == f"--ssl-certfile {gone} cannot be read: No such file or directory"
    assert refused(TlsFiles(cert, gone)).startswith(f"--ssl-keyfile {gone} cannot be read")
    assert refused(TlsFiles(cert, key, gone)).startswith(f"--ssl-ca-certs {gone} cannot be read")
    assert refused(TlsFiles(text, key)).startswith(f"--ssl-certfile {text} holds no certificate: ")
    assert refused(TlsFiles(cert, key, text)).startswith(f"--ssl-ca-certs {text} holds no certificate: ")
    mismatch = refused(TlsFiles(cert, other.server.key))
    assert f"--ssl-certfile {cert} and --ssl-keyfile {other.server.key}" in mismatch and "mismatch" in mismatch
    assert f"--ssl-keyfile {text}" in refused(TlsFiles(cert, text))
    assert f"--ssl-keyfile {cert}" in refused(TlsFiles(cert))


def test_a_key_with_a_password_is_refused_without_asking_for_it(ours: Authority, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    command = ["openssl", "pkey", "-in", str(ours.server.key), "-out", str(locked), "-aes256", "-passout", "pass:x"]
    subprocess.run(command, check=True, capture_output=True)
    assert "without a password" in refused(TlsFiles(ours.server.cert, locked))


class Faces:
    """Both faces over TLS in this process, and what a caller sees of them."""

    def __init__(self, tls: ServerTls) -> None:
        self.tls = tls
        self.http_port = free_port(())
        self.grpc_port = free_port((self.http_port,))
        self.waiting, self.cancelled = asyncio.Event(), asyncio.Event()

    async def hello(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/wait":
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return web.Response(text="hello")

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        models = ModelBackends(ModelBackend(BackendClient(1), State(), Limits()))
        front = GrpcFront(models, {MODEL_NAME: "127.0.0.1:1"}, Limits(), Entry(tls=self.tls))
        async with (
            listen(self.hello, LOOPBACK, self.http_port, tls=self.tls),
            listen_grpc(front, LOOPBACK, self.grpc_port),
        ):
            yield

    async def over_http(self, authority: Identity, own: Identity | None = None) -> bytes:
        """The answer to one request."""
        context = ssl.create_default_context(cafile=authority.cert)
        if own:
            context.load_cert_chain(own.cert, own.key)
        reader, writer = await asyncio.open_connection(LOOPBACK, self.http_port, ssl=context)
        with contextlib.closing(writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return await reader.read()

    async def over_grpc(self, authority: Identity, own: Identity | None = None) -> bool:
        """Whether the server is live."""
        held = (own.key.read_bytes(), own.cert.read_bytes()) if own else (None, None)
        credentials = grpc.ssl_channel_credentials(authority.cert.read_bytes(), *held)
        # a connection of its own, or a second channel would go on with the first one's certificates
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"{LOOPBACK}:{self.grpc_port}", credentials, options) as channel:
            call: Any = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            return bool(pb.ServerLiveResponse.FromString(await call(b"", timeout=20)).live)


def play(tls: ServerTls, act: Callable[[Faces], Awaitable[None]]) -> None:
    async def run() -> None:
        faces = Faces(tls)
        async with asyncio.timeout(60), faces.open():
            await act(faces)

    asyncio.run(run())


def test_new_connections_get_the_new_certificate_on_both_faces(
    ours: Authority, other: Authority, shown: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    tls = ServerTls(TlsFiles(shown.cert, shown.key))

    async def act(faces: Faces) -> None:
        assert b"hello" in await faces.over_http(ours.ca) and await faces.over_grpc(ours.ca)
        put(other.server, shown)
        tls.renew()
        assert b"hello" in await faces.over_http(other.ca) and await faces.over_grpc(other.ca)
        with pytest.raises(ssl.SSLCertVerificationError):
            await faces.over_http(ours.ca)
        with pytest.raises(grpc.aio.AioRpcError):
            await faces.over_grpc(ours.ca)

    play(tls, act)
    assert f"{shown.cert}, {shown.key}: new connections get" in caplog.text


def test_files_that_cannot_be_used_leave_the_certificates_and_are_logged_once(
    ours: Authority, other: Authority, shown: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    tls = ServerTls(TlsFiles(shown.cert, shown.key))

    async def act(faces: Faces) -> None:
        shutil.copyfile(other.server.cert, shown.cert)  # its key has not come yet
        tls.renew()
        tls.renew()
        assert b"hello" in await faces.over_http(ours.ca) and await faces.over_grpc(ours.ca)
        shown.key.unlink()
        tls.renew()
        assert b"hello" in await faces.over_http(ours.ca) and await faces.over_grpc(ours.ca)
        put(other.server, shown)
        tls.renew()
        assert b"hello" in await faces.over_http(other.ca) and await faces.over_grpc(other.ca)

    play(tls, act)
    logged = caplog.text
    assert logged.count("the former certificates stay") == 2
    assert "mismatch" in logged and f"--ssl-keyfile {shown.key} cannot be read" in logged


def test_where_files_are_short_the_former_certificates_stay_and_the_new_ones_are_tried_again(
    ours: Authority,
    other: Authority,
    shown: Identity,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def short(name: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    tls = ServerTls(TlsFiles(shown.cert, shown.key))
    before = tls.context.newest
    put(other.server, shown)
    with monkeypatch.context() as patched:
        patched.setattr(os, "memfd_create", short)
        tls.renew()
        tls.renew()
        assert tls.context.newest is before
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", lambda path: short("file"))
        tls.renew()
        assert tls.context.newest is before
    logged = caplog.text
    assert logged.count("cannot be held in memory now: Too many open files; the former certificates stay") == 1
    tls.renew()
    assert tls.context.newest is not before


def test_a_connection_goes_on_with_the_certificate_that_it_began_with(ours: Authority, shown: Identity) -> None:
    tls = ServerTls(TlsFiles(shown.cert, shown.key))

    async def act(faces: Faces) -> None:
        context = ssl.create_default_context(cafile=ours.ca.cert)
        reader, writer = await asyncio.open_connection(LOOPBACK, faces.http_port, ssl=context)
        with contextlib.closing(writer):
            for _ in range(2):
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b"200 OK" in await reader.readuntil(b"hello")
                put(ours.client, shown)
                tls.renew()

    play(tls, act)


def test_callers_need_a_certificate_where_the_server_says_so(ours: Authority, other: Authority) -> None:
    tls = ServerTls(TlsFiles(ours.server.cert, ours.server.key, ours.ca.cert))

    async def act(faces: Faces) -> None:
        assert b"hello" in await faces.over_http(ours.ca, ours.client)
        assert await faces.over_grpc(ours.ca, ours.client)
        for own in (None, other.client):
            with contextlib.suppress(ssl.SSLError, ConnectionError):  # TLS 1.3 says so after the handshake, or ends
                assert await faces.over_http(ours.ca, own) == b""
            with pytest.raises(grpc.aio.AioRpcError):
                await faces.over_grpc(ours.ca, own)

    play(tls, act)


def test_callers_may_do_without_a_certificate_where_the_server_says_so(ours: Authority, other: Authority) -> None:
    files = TlsFiles.of(ours.server.cert, ours.server.key, ours.ca.cert, OPTIONAL)
    assert files is not None
    tls = ServerTls(files)

    async def act(faces: Faces) -> None:
        for own in (None, ours.client):
            assert b"hello" in await faces.over_http(ours.ca, own)
            assert await faces.over_grpc(ours.ca, own)
        with contextlib.suppress(ssl.SSLError, ConnectionError):  # TLS 1.3 says so after the handshake, or ends
            assert await faces.over_http(ours.ca, other.client) == b""
        with pytest.raises(grpc.aio.AioRpcError):
            await faces.over_grpc(ours.ca, other.client)

    play(tls, act)


def test_who_does_not_speak_tls_is_sent_away_and_others_are_served(
    ours: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    tls = ServerTls(TlsFiles(ours.server.cert, ours.server.key))

    async def act(faces: Faces) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, faces.http_port)
        with contextlib.closing(writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP" not in await reader.read()
        with socket.create_connection((LOOPBACK, faces.http_port)):  # says nothing at all
            assert b"hello" in await faces.over_http(ours.ca)

    play(tls, act)
    assert "Traceback" not in capfd.readouterr().err


def test_a_caller_that_stops_sending_ends_its_connection_without_a_line_in_the_log(
    ours: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio has no half of a connection with TLS."""
    tls = ServerTls(TlsFiles(ours.server.cert, ours.server.key))

    async def act(faces: Faces) -> None:
        context = ssl.create_default_context(cafile=ours.ca.cert)
        _, writer = await asyncio.open_connection(LOOPBACK, faces.http_port, ssl=context)
        writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        await faces.waiting.wait()
        writer.close()  # says that it ends
        await faces.cancelled.wait()

    play(tls, act)
    assert caplog.text == ""
