"""A server for a while: starts `python -m trimode.server` on free loopback ports, waits for it, always stops it.

Knows a command line and a process, and imports nothing of the server. The demo and perf/ use it.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .client import Client
from .errors import UnavailableError
from .transports.time_limits import POLL_SECONDS

READY_SECONDS = 600.0  # for a server to start, as its own --ready-timeout
STOP_SECONDS = 30.0  # for a server to end after SIGTERM; then it is killed
_LOG_CHARACTERS = 600  # of the end of the log that an error shows: the last few lines


@dataclass(frozen=True)
class Addresses:
    """host:port of a server's gRPC and HTTP, and the id of its process; 0 where that is not known."""

    grpc: str
    http: str
    pid: int = 0


@contextmanager
def serving(bundle: Path, log: Path) -> Iterator[Addresses]:
    """Serve `bundle` inside the block; the server's output goes to `log`.

    Raises:
        UnavailableError: the server did not start; the text shows the end of its log.
    """
    http, grpc, metrics = free_ports(3)
    ports = ("--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics))
    command = [sys.executable, "-m", "trimode.server", "--bundle", str(bundle), *ports]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches this process only, which then stops the server.
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        addresses = Addresses(grpc=f"127.0.0.1:{grpc}", http=f"127.0.0.1:{http}", pid=process.pid)
        try:
            _wait(process, addresses, log)
            yield addresses
        finally:
            _stop(process)


def free_ports(count: int) -> list[int]:
    """Return `count` different loopback ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _wait(process: subprocess.Popen[bytes], addresses: Addresses, log: Path) -> None:
    ends = time.monotonic() + READY_SECONDS
    with Client(addresses.http, "http") as http, Client(addresses.grpc) as grpc:
        while not (http.health().ok and grpc.health().ok):
            if process.poll() is not None or time.monotonic() > ends:
                shown = log.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS:]
                raise UnavailableError(f"the server did not start: {shown}")
            time.sleep(POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
