"""What serve decides before it starts anything."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from trimode.server import cli as serve


def test_the_internal_port_is_none_of_the_named_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The named ports are free until Triton listens there, so the system may offer one of them."""
    offers = iter([5001, 5002, 5003])

    class Offering(socket.socket):
        def bind(self, address: Any) -> None:
            self.offered = next(offers)

        def getsockname(self) -> Any:
            return "127.0.0.1", self.offered

    monkeypatch.setattr(serve.socket, "socket", Offering)
    assert serve.free_port({5001, 5002}) == 5003


def test_the_internal_port_can_be_taken() -> None:
    port = serve.free_port(set())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
