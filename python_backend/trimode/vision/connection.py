"""One HTTP request to an address that was checked; each wait ends by a deadline, or with its request.

Knows no redirects.
"""

from __future__ import annotations

import errno
import http.client
import io
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeVar

from .addresses import Address, Target
from .until import Until

HEADERS = {"Accept": "image/png, image/jpeg, image/webp, image/gif", "Accept-Encoding": "identity"}
AGENT = "trimode"
Allowed = Callable[[Address], bool]
Result = TypeVar("Result")


class NotAllowedError(Exception):
    """A name leads to an address that may not be connected to."""


@contextmanager
def answer_of(target: Target, allowed: Allowed, until: Until) -> Iterator[http.client.HTTPResponse]:
    """Send a GET and give the answer, its body unread; the connection ends with the context.

    The address is looked up once, checked, and connected to, so that a name which changes its address between check
    and connection gains nothing. Proxies of the environment are not used.

    Args:
        target: where to.
        allowed: which addresses may be connected to; all of a name's must be.
        until: ends every wait. The look-up takes the time that the system's resolver gives it.

    Raises:
        NotAllowedError: an address of the name may not be connected to.
        OSError, http.client.HTTPException: it cannot be reached, or does not answer as HTTP does.
        CancelledError, DeadlineError: see Until.check.
    """
    until.check()
    line = _connect(_addresses(target, allowed), target.port, until)
    try:
        if target.scheme == "https":
            line = _secured(line, target.host, until)
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = _Line(line, until)  # all of a socket that it uses
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


def _connect(addresses: list[str], port: int, until: Until) -> socket.socket:
    """Return a line to the first address that answers; it never blocks."""
    last: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as exc:  # a machine without this family of addresses
            last = exc
            continue
        try:
            line.setblocking(False)
            code = line.connect_ex((address, port))
            if code == errno.EINPROGRESS:
                _wait(line, select.POLLOUT, until)
                code = line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                return line
            line.close()
            last = OSError(code, "no connection")
        except BaseException:
            line.close()
            raise
    raise last


def _secured(line: socket.socket, host: str, until: Until) -> ssl.SSLSocket:
    """Return a line over TLS, once the handshake is done."""
    made = ssl.create_default_context().wrap_socket(line, server_hostname=host, do_handshake_on_connect=False)
    try:
        _done(made, made.do_handshake, until)
    except BaseException:
        made.close()
        raise
    return made


def _wait(line: socket.socket, event: int, until: Until) -> None:
    """Wait until a line can be read or written, or has failed."""
    poll = select.poll()
    poll.register(line, event)
    while not poll.poll(until.moment() * 1000):
        pass


def _done(line: socket.socket, step: Callable[[], Result], until: Until) -> Result:
    """Do what may have to wait for the other side, and return what it returns."""
    while True:
        until.check()
        try:
            return step()
        except ssl.SSLWantWriteError:
            _wait(line, select.POLLOUT, until)
        except (ssl.SSLWantReadError, BlockingIOError):
            _wait(line, select.POLLIN, until)


class _Line:
    """A socket for http.client each of whose waits ends by a deadline, however slowly bytes drip in."""

    def __init__(self, line: socket.socket, until: Until) -> None:
        self._line, self._until = line, until

    def sendall(self, data: Any) -> None:
        left = memoryview(data)
        while left:
            _wait(self._line, select.POLLOUT, self._until)
            left = left[_done(self._line, partial(self._line.send, left), self._until) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._line, self._until))

    def close(self) -> None:
        """Do nothing: the context that made the connection ends it."""


class _Reader(io.RawIOBase):
    def __init__(self, line: socket.socket, until: Until) -> None:
        super().__init__()
        self._line, self._until = line, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return _done(self._line, partial(self._line.recv_into, buffer), self._until)
