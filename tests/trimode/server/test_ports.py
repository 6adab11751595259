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


def test_a_port_of_an_ipv6_address() -> None:
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"--grpc-port {port} on ::1 is not available: "):
            ports.check_port_free("grpc-port", "::1", port)
    ports.check_port_free("grpc-port", "::1", port)


def test_a_host_that_is_no_address_of_this_machine() -> None:
    with pytest.raises(ServeError, match=r"--http-port 8000 on 192\.0\.2\.1 is not available: "):
        ports.check_port_free("http-port", "192.0.2.1", 8000)


@pytest.mark.parametrize(("host", "written"), [("::1", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("box", "box")])
def test_an_ipv6_address_has_brackets_in_a_url(host: str, written: str) -> None:
    assert ports.in_url(host) == written


def test_a_number_that_is_no_port_is_not_available() -> None:
    with pytest.raises(ServeError, match=r"--grpc-port 65536 on 127\.0\.0\.1 is not available: "):
        ports.check_port_free("grpc-port", "127.0.0.1", 65536)
