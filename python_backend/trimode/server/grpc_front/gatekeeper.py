"""admit: lets calls in by the API key in their metadata. Health is everybody's to ask."""

from __future__ import annotations

from collections.abc import Sequence

from ..access.entry import Entry
from ..access.keys import API_KEY, AUTHORIZATION
from ..caller import FORWARDED_FOR

OPEN_CALLS = (
    *("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady"),
    *("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"),
)
"""Calls that need no key: probes have none."""
MOST_OPEN_BYTES = 1024
"""Of a message of such a call: a service's name, which has 29. Whoever sends it may be a stranger."""


def admit(entry: Entry, metadata: Sequence[tuple[str, str]], peer: str = "") -> str:
    """Return who makes a call with this metadata from this address; see Entry.admit."""
    forwarded = [value for key, value in metadata if key == FORWARDED_FOR]
    given = dict(metadata)
    return entry.admit(given.get(AUTHORIZATION), given.get(API_KEY), peer, forwarded)
