"""TLS before a plain server, as a gateway has it: one certificate authority, and a front that ends TLS.

The front hands the bytes on, whatever their protocol; HTTP/2, and so gRPC, is agreed on by ALPN.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
SECONDS = 10  # for a front's sockets


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """An authority made for the tests, and what it has signed: a server's certificate and a client's."""

    ca: Identity
    server: Identity
    client: Identity

    @classmethod
    def create(cls, folder: Path) -> Authority:
        folder.mkdir()
        ca = _signed(folder, "ca", "-addext", "keyUsage=critical,keyCertSign")
        by_it = ("-CA", str(ca.cert), "-CAkey", str(ca.key), "-addext", "basicConstraints=critical,CA:FALSE")
        server = _signed(folder, "server", *by_it, "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        return cls(ca, server, _signed(folder, "client", *by_it))


def _signed(folder: Path, name: str, *arguments: str) -> Identity:
    made = Identity(folder / f"{name}.pem", folder / f"{name}.key")
    files = ("-keyout", str(made.key), "-out", str(made.cert))
    command = ["openssl", "req", "-x509", *NEW_KEY, "-days", "2", "-subj", f"/CN={name} of a test", *files, *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return made


@contextmanager
def tls_front(
    plain: str, authority: Authority, *, mutual: bool = False, shown: Identity | None = None
) -> Iterator[str]:
    """Serve what listens at `plain` (host:port) over TLS inside the block, and give the address.

    With `mutual`, callers need a certificate of the authority; `shown` is what callers get instead of the server's.
    """
    shown = shown or authority.server
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.cert, shown.key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca.cert)
    host, port = plain.split(":")
    listening = socket.create_server(("127.0.0.1", 0))
    open_sockets: list[socket.socket] = [listening]

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(raw: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(raw, server_side=True) as caller:
            open_sockets.append(caller)
            with socket.create_connection((host, int(port))) as inner:
                open_sockets.append(inner)
                back = threading.Thread(target=carry, args=(inner, caller))
                back.start()
                carry(caller, inner)
                back.join()

    def accept() -> None:
        threads = []
        with suppress(OSError):  # of the end of the block
            while True:
                raw, _ = listening.accept()
                raw.settimeout(SECONDS)
                threads.append(threading.Thread(target=serve, args=(raw,)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        for one in open_sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()
