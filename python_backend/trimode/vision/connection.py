"""One HTTP request to an address that was checked, every wait of which ends by a deadline. Knows no redirects."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

from .addresses import Address, Target

HEADERS = {"Accept": "image/png, image/jpeg, image/webp, image/gif", "Accept-Encoding": "identity"}
AGENT = "trimode"
Allowed = Callable[[Address], bool]


class NotAllowedError(Exception):
    """A name leads to an address that may not be connected to."""


@contextmanager
def answer_of(target: Target, allowed: Allowed, deadline: float) -> Iterator[http.client.HTTPResponse]:
    """Send a GET and give the answer, its body unread; the connection ends with the context.

    The address is looked up once, checked, and connected to, so that a name which changes its address between check
    and connection gains nothing. Proxies of the environment are not used.

    Args:
        target: where to.
        allowed: which addresses may be connected to; all of a name's must be.
        deadline: when every wait ends, in seconds of time.monotonic(). The look-up takes the time that the system's
            resolver gives it.

    Raises:
        NotAllowedError: an address of the name may not be connected to.
        OSError, http.client.HTTPException: it cannot be reached, or does not answer as HTTP does, or in time.
    """
    line = _connect(_addresses(target, allowed), target.port, deadline)
    try:
        if target.scheme == "https":
            line.settimeout(_left(deadline))  # the whole handshake
            line = ssl.create_default_context().wrap_socket(line, server_hostname=target.host)
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = _Line(line, deadline)  # all of a socket that it uses
        connection.putrequest("GET", target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": target.authority, "User-Agent": AGENT, **HEADERS, "Connection": "close"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as answer:
            yield answer
    finally:
        line.close()


def _addresses(target: Target, allowed: Allowed) -> list[str]:
    """Return the addresses of the target's host, each of which may be connected to."""
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    for address in addresses:
        if not allowed(ip_address(address.partition("%")[0])):
            raise NotAllowedError(address)
    return addresses


def _connect(addresses: list[str], port: int, deadline: float) -> socket.socket:
    """Connect to the first address that answers."""
    last: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=_left(deadline))
        except OSError as exc:
            last = exc
    raise last


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class _Line:
    """A socket for http.client each of whose waits ends by a deadline, however slowly bytes drip in."""

    def __init__(self, line: socket.socket, deadline: float) -> None:
        self._line, self._deadline = line, deadline

    def sendall(self, data: Any) -> None:
        self._line.settimeout(_left(self._deadline))
        self._line.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._line, self._deadline))

    def close(self) -> None:
        """Do nothing: the context that made the connection ends it."""


class _Reader(io.RawIOBase):
    def __init__(self, line: socket.socket, deadline: float) -> None:
        super().__init__()
        self._line, self._deadline = line, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._line.settimeout(_left(self._deadline))
        return self._line.recv_into(buffer)
