"""A relay passes bytes on both ways, ends with either side, and with its own input."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from trimode_perf.common.progress import MeasureError
from trimode_perf.speed.fronts.behind import Behind
from trimode_perf.speed.fronts.relay import relaying


def echo(path: Path) -> socket.socket:
    """A socket that sends back what it gets, in capitals, once for each of two connections."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        for _ in range(2):
            connection, _ = listening.accept()
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data.upper())

    threading.Thread(target=serve, daemon=True).start()
    return listening


@pytest.mark.subprocess
def test_bytes_are_passed_on_both_ways(tmp_path: Path) -> None:
    paths = tmp_path / "grpc", tmp_path / "http"
    listening = [echo(path) for path in paths]
    with relaying(Behind(f"unix:{paths[0]}", f"unix:{paths[1]}")) as (at, process):
        for address in (at.grpc, at.http):
            host, _, port = address.partition(":")
            with socket.create_connection((host, int(port)), timeout=30) as caller:
                for text in (b"one", b"two"):
                    caller.sendall(text)
                    assert caller.recv(100) == text.upper()
                caller.shutdown(socket.SHUT_WR)
                assert caller.recv(100) == b""
    assert not process.is_running()
    for one in listening:
        one.close()


def test_a_triton_at_ports_has_no_relay() -> None:
    with pytest.raises(MeasureError, match="the relay is for Unix sockets"), relaying(Behind("a:1", "b:2")):
        pass
