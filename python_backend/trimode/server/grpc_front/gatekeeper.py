"""Which calls are let in: by the size of their metadata, and by the API key in it. Health is everybody's to ask."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import Described, Refusal, shorten
from ..access.entry import Entry
from ..access.keys import API_KEY, AUTHORIZATION
from ..caller import FORWARDED_FOR
from ..http2.header_reader import MOST_HEADER_BYTES, Block

OPEN_CALLS = (
    *("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady"),
    *("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"),
)
"""Calls that need no key: probes have none."""
MOST_OPEN_BYTES = 1024
"""Of a message of such a call: a service's name, which has 29. Whoever sends it may be a stranger."""


def check_head(head: Block) -> None:
    """Check the header fields with which a call begins, its metadata among them.

    Raises:
        Refusal: they have more than MOST_HEADER_BYTES bytes, or one is not UTF-8.
    """
    if head.size > MOST_HEADER_BYTES:
        most = f"at most {MOST_HEADER_BYTES} bytes, 32 for each field among them"
        raise Refusal("header_too_large", f"the metadata of a call must have {most}, got {head.size}")
    if head.unreadable:
        raise Refusal("bad_utf8", f"{shorten(Described(head.unreadable))} in the metadata of a call must be UTF-8")


def admit(entry: Entry, metadata: Sequence[tuple[str, str]], peer: str = "") -> str:
    """Return who makes a call with this metadata from this address; see Entry.admit."""
    forwarded = [value for key, value in metadata if key == FORWARDED_FOR]
    given = dict(metadata)
    return entry.admit(given.get(AUTHORIZATION), given.get(API_KEY), peer, forwarded)
