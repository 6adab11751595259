"""Gaps and texts that tests have filled and revised, and how they ask."""

from __future__ import annotations

from typing import Any

from trimode_client import Completion

from tests.server.sdk import Protocol, client
from tests.server.server import Server

LEFT, RIGHT = "Turn this into JSON: Anna is 24 and lives in ", ' and works as a sailor.\n{"name": "Anna"'
TEXT = "Ünïcode 🙂: the the quick brown fox jumps over over the lazy dog, 語.\r\n"


def infill(server: Server, protocol: Protocol, *sides: str, **knobs: Any) -> Completion:
    with client(server, protocol) as asking:
        return asking.infill(*sides, **knobs)


def revise(server: Server, protocol: Protocol, text: str, **knobs: Any) -> Completion:
    with client(server, protocol) as asking:
        return asking.revise(text, **knobs)
