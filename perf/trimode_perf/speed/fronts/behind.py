"""Where the Triton behind a server listens, and the processor time of that server's own process.

Reads the command lines of processes; asks nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ...common.progress import MeasureError

SOCKET = "unix:"
TRITON = "tritonserver"


@dataclass(frozen=True)
class Behind:
    """Addresses of Triton's own faces: host:port, or `unix:` and a path."""

    grpc: str
    http: str

    @classmethod
    def read(cls, command: Sequence[str]) -> Behind:
        """Return the addresses in tritonserver's command line.

        Triton adds the port to the name of gRPC's socket, and not to that of HTTP's.
        """
        given = dict(word.removeprefix("--").split("=", 1) for word in command if "=" in word)
        http, grpc = given["http-address"], given["grpc-address"]
        return cls(f"{grpc}:{given['grpc-port']}", http if http.startswith(SOCKET) else f"{http}:{given['http-port']}")


def server_at(grpc: str) -> psutil.Process:
    """Return the process below this one that serves gRPC at host:port.

    Raises:
        MeasureError: there is none.
    """
    port = grpc.rpartition(":")[2]
    for child in psutil.Process().children(recursive=True):
        if (words := child.cmdline()) and "trimode.server" in words and port in words:
            return child
    raise MeasureError(f"no server of this run listens at {grpc}")


def behind(server: psutil.Process) -> Behind:
    """Return where the Triton of a server listens.

    Raises:
        MeasureError: it has none now.
    """
    for child in server.children():
        if child.name() == TRITON:
            return Behind.read(child.cmdline())
    raise MeasureError("the server has no tritonserver now")


def spent(server: psutil.Process) -> float:
    """Return the processor seconds of a server's own process so far: of the threads that run, by the scheduler's count.

    A kernel without that count has it in clock ticks alone (10 ms), which miss what runs for shorter.
    """
    try:
        threads = Path(f"/proc/{server.pid}/task").glob("*/schedstat")
        found = [int(thread.read_text().split()[0]) for thread in threads]
    except (OSError, ValueError, IndexError):  # a thread has just ended, say
        found = []
    times = server.cpu_times()
    return sum(found) / 1e9 if any(found) else float(times.user + times.system)
