"""Where the Triton behind a server listens, and the processor time of that server's own process.

Reads the command lines of processes; asks nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """Return the processor seconds of a server's own process so far, in steps of a clock tick (10 ms)."""
    times = server.cpu_times()
    return float(times.user + times.system)
