"""Which port is free, and which one is taken."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from trimode.errors import ServeError
from trimode.server import ports


def test_the_internal_port_is_none_of_the_named_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The named ports are free until Triton listens there, so the system may offer one of them."""
    offers = iter([5001, 5002, 5003])

    class Offering(socket.socket):
        def bind(self, address: Any) -> None:
            self.offered = next(offers)

        def getsockname(self) -> Any:
            return "127.0.0.1", self.offered

    monkeypatch.setattr(socket, "socket", Offering)
    assert ports.free_port({5001, 5002}) == 5003


def test_the_internal_port_can_be_taken() -> None:
    port = ports.free_port(set())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_a_port_that_is_taken_is_named_with_its_option() -> None:
    port = ports.free_port(set())
    ports.check_port_free("http-port", "127.0.0.1", port)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ServeError, match=f"--http-port {port} on 127.0.0.1 is not available: "):
            ports.check_port_free("http-port", "127.0.0.1", port)


def test_a_number_that_is_no_port_is_not_available() -> None:
    with pytest.raises(ServeError, match=r"--grpc-port 65536 on 127\.0\.0\.1 is not available: "):
        ports.check_port_free("grpc-port", "127.0.0.1", 65536)
