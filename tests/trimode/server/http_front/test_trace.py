"""The trace of a request, by its headers."""

from __future__ import annotations

import asyncio
from contextvars import copy_context

import pytest
from trimode.logs.request_id import current_id
from trimode.server.http_front import trace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "parent",
    ["", "x", PARENT[:-1], PARENT.upper(), f"00-{'0' * 32}-00f067aa0ba902b7-01", f"ff{PARENT[2:]}", PARENT + "\n"],
)
def test_what_is_no_trace_is_none(parent: str) -> None:
    def passed_on() -> object:
        trace.begin({"traceparent": parent, "tracestate": "a=b"})
        return trace.passed_on()

    assert copy_context().run(passed_on) == {}


def test_a_trace_is_seen_by_the_tasks_of_its_request_alone() -> None:
    async def inner() -> tuple[object, str]:
        assert current_id() == "mine"
        return trace.passed_on(), trace.named()

    async def request(parent: str) -> tuple[object, str]:
        trace.begin({"traceparent": parent, "tracestate": "a=b", "x-request-id": "mine", "x-correlation-id": "a\nb"})
        await asyncio.sleep(0)
        return await asyncio.create_task(inner())

    async def run() -> tuple[tuple[object, str], ...]:
        return await asyncio.gather(request(PARENT), request(PARENT.replace("4", "5")))

    first, second = asyncio.run(run())
    assert first == ({"traceparent": PARENT, "tracestate": "a=b"}, f" traceparent={PARENT}")
    assert second[0] != first[0]
