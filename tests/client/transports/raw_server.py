"""RawServer: answers HTTP requests by writing bytes to their socket, so that a test decides about every byte.

Knows requests only as far as it must to read them; tests/support/fake_server.py plays whole answers.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress

Answer = Callable[[socket.socket], object]
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


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


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(outputs: Mapping[str, object]) -> bytes:
    return b"data: " + json.dumps(outputs, ensure_ascii=False).encode() + b"\n\n"


def events(*chunks: bytes) -> Answer:
    return lambda connection: connection.sendall(CHUNKED + b"".join(map(chunk, chunks)) + b"0\r\n\r\n")


def hanging(*chunks: bytes) -> Answer:
    """Send the chunks, then wait until the client leaves."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(CHUNKED + b"".join(map(chunk, chunks)))
        connection.recv(1)

    return answer


def single(outputs: Mapping[str, object]) -> Answer:
    data = json.dumps(outputs).encode()
    return lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
