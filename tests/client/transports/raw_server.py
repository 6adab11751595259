"""RawServer: answers HTTP requests by writing bytes to their socket, so that a test decides about every byte.

Knows requests only as far as it must to read them; tests/support/fake_server.py plays whole answers.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

Answer = Callable[[socket.socket], object]


class RawServer:
    """Answers each request by writing to its socket; keeps what it saw."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[tuple[str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.left = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _accept(self) -> None:
        threads = []
        with suppress(OSError):  # of an end of the test
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threads.append(threading.Thread(target=self._serve, args=(connection,)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, connection.makefile("rb") as reading, suppress(OSError):
            while head := reading.readline():
                lines = (line.decode().rstrip("\r\n").split(": ", 1) for line in iter(reading.readline, b"\r\n"))
                headers = {name.lower(): value for name, value in lines}
                body = reading.read(int(headers.get("content-length", "0")))
                self.headers.append(headers)
                self.requests.append((head.split()[1].decode(), body))
                self.answer(connection)
        self.left.set()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join()


@contextmanager
def raw_server(answer: Answer) -> Iterator[RawServer]:
    with closing(RawServer(answer)) as server:
        yield server
