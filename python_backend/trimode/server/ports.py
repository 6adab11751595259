"""The ports of the server: those that tritonserver is given, one that is free, and whether one is taken.

Knows sockets, nothing of what is served on them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection
from dataclasses import dataclass

from ..errors import ServeError

LOOPBACK = "127.0.0.1"
ALL_INTERFACES = "0.0.0.0"


@dataclass(frozen=True)
class Ports:
    """Where tritonserver listens. `http` and `grpc` are internal and always on loopback: callers meet the front."""

    http: int
    grpc: int
    metrics: int
    metrics_host: str = LOOPBACK


def check_port_free(option: str, host: str, port: int) -> None:
    """Check a port now, rather than after the minutes that loading a model may take.

    Raises:
        ServeError: something listens on `host`:`port`, or it is no address of this machine.
    """
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as exc:
            raise ServeError(f"--{option} {port} on {host} is not available: {exc}. With make, set PORT=…") from exc


def free_port(reserved: Collection[int]) -> int:
    """Return a free loopback port that is none of `reserved`: ports that are free too, but will be used by others."""
    with contextlib.ExitStack() as rejected:  # a rejected port stays bound, so that it is not offered again
        while True:
            probe = rejected.enter_context(contextlib.closing(socket.socket()))
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
            if port not in reserved:
                return port
