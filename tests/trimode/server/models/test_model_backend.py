"""One model before its backend: who waits, who is refused, and what counts as running."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from trimode.errors import Refusal
from trimode.server.backend_client import BackendClient
from trimode.server.gate import Gate
from trimode.server.models.model_backend import ModelBackend
from trimode.server.serving import Limits

from tests.server.server import free_ports


class Living:
    alive = True
    stopping = False


class Counting(BackendClient):
    """Counts what it is to send."""

    sent = 0

    def request(self, *args: Any, **named: Any) -> Any:
        self.sent += 1
        return super().request(*args, **named)


def test_who_waits_too_long_or_for_another_bundle_is_refused_and_nothing_is_sent() -> None:
    async def run() -> None:
        (inner,) = free_ports(1)
        client, gate = Counting(inner), Gate()
        made = ModelBackend(client, Living(), Limits(silence_seconds=0.01), gate)
        async with contextlib.aclosing(client):
            gate.close()
            with pytest.raises(Refusal, match="try again"):
                async with made.holding():
                    pass
            gate.open()
            gate.generation = 1
            with pytest.raises(Refusal, match="the model was replaced while the request waited"):
                async with made.holding(0):
                    pass
            assert (made.running, client.sent) == (0, 0)
            with pytest.raises(ConnectionRefusedError):
                async with made.holding(1):
                    assert (made.running, client.sent) == (1, 0)
                    async with made.ask("/x", b"{}", "tag"):
                        pass
            assert (made.running, client.sent) == (0, 1)

    asyncio.run(run())


def test_a_model_is_asked_by_its_own_name() -> None:
    made = ModelBackend(BackendClient(1), Living(), Limits(), name="smol", others=("s",))
    assert (made.path, made.generate_path) == ("/v2/models/smol", "/v2/models/smol/generate")
