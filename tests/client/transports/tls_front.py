"""TLS before a plain server, as a gateway has it: a front that ends TLS.

The front hands the bytes on, whatever their protocol; HTTP/2, and so gRPC, is agreed on by ALPN.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.certificates import Authority, Identity

SECONDS = 10  # for a front's sockets


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
