"""The ports of the server: those that tritonserver is given, one that is free, and whether one is taken.

Knows sockets, nothing of what is served on them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..errors import ServeError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where tritonserver listens: always on loopback, since callers meet the fronts.

    With `sockets`, a folder that only this user can look into, these are Unix sockets in it instead.
    """

    http: int
    grpc: int
    metrics: int
    sockets: Path | None = None

    @property
    def numbers(self) -> tuple[int, int, int]:
        """All three."""
        return self.http, self.grpc, self.metrics

    @property
    def http_socket(self) -> Path | None:
        """The Unix socket of HTTP, if it is one."""
        return self.sockets and self.sockets / "http"

    @property
    def metrics_socket(self) -> Path | None:
        """The Unix socket of metrics, if it is one."""
        return self.sockets and self.sockets / "metrics"

    @property
    def http_address(self) -> str:
        """Triton's option for the address of HTTP."""
        return LOOPBACK if self.http_socket is None else f"unix:{self.http_socket}"

    @property
    def metrics_address(self) -> str:
        """Triton's option for the address of metrics."""
        return LOOPBACK if self.metrics_socket is None else f"unix:{self.metrics_socket}"

    @property
    def grpc_address(self) -> str:
        """Triton's option for the address of gRPC, to which it adds the port, in a socket's name too."""
        return LOOPBACK if self.sockets is None else f"unix:{self.sockets / 'grpc'}"

    @property
    def grpc_target(self) -> str:
        """gRPC's name of the same address."""
        return f"{self.grpc_address}:{self.grpc}"


def in_url(host: str) -> str:
    """Return an address as URLs and gRPC have it, an IPv6 one in brackets."""
    return f"[{host}]" if ":" in host else host


def check_port_free(option: str, host: str, port: int) -> None:
    """Check a port now, rather than after the minutes that loading a model may take.

    Raises:
        ServeError: something listens on `host`:`port`, or it is no address of this machine.
    """
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            with contextlib.closing(socket.socket(family, kind)) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address[0], port, *address[2:]))
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
