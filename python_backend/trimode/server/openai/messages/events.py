"""The events of a message that is streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from ..shared.asked import Asked
from ..shared.choice import Choice
from ..shared.errors import FaceError
from ..shared.exchange import Exchange, Last, named_event, new_id
from ..shared.prompt import ids_of
from ..tools.calls import CallPiece
from .answer import call_block, costs, ending, error_body


def error_event(error: FaceError) -> bytes:
    """Return the event that ends a stream with an error."""
    return named_event("error", error_body(error))


async def events(exchange: Exchange, asked: Asked) -> AsyncGenerator[bytes]:
    """Yield the events of a stream."""
    service = exchange.service
    choice, blocks = Choice(asked, service.facts), Blocks()
    begun = False
    async with service.worker.pieces(asked, exchange.visit) as pieces:
        async for _, piece in pieces:
            delta, made = choice.take(piece), b""
            if not begun:
                count = len(await asyncio.to_thread(ids_of, asked.jobs[0], service.facts))
                made, begun = opening(asked, count), True
            if delta.thought:
                made += blocks.add("thinking", delta.thought)
            if delta.text:
                made += blocks.add("text", delta.text)
            made += b"".join(map(blocks.call, delta.calls))
            if made:
                yield made
    if blocks.kind is None and choice.has_words:
        yield blocks.add("text", "")
    last = {"type": "message_delta", "delta": ending(choice), "usage": costs(choice), **choice.extras()}
    stop = named_event("message_stop", {"type": "message_stop"})
    yield Last(blocks.close() + named_event("message_delta", last) + stop)


def opening(asked: Asked, tokens: int) -> bytes:
    """Return the first event of a stream, for a prompt of so many tokens."""
    usage = {"input_tokens": tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
    empty = {"id": new_id("msg_"), "type": "message", "role": "assistant", "model": asked.model, "content": []}
    start = {**empty, "stop_reason": None, "stop_sequence": None, "usage": usage}
    return named_event("message_start", {"type": "message_start", "message": start})


class Blocks:
    """The content blocks of a stream, one after another; `kind` is that of the open one."""

    def __init__(self) -> None:
        self.kind: str | None = None
        self._index = -1

    def add(self, kind: str, said: str) -> bytes:
        """Return the events that add a text to the block of a kind, which is opened first if it is not."""
        made = b""
        if kind != self.kind:
            made = self._begin(kind, {"type": kind, kind: "", **({"signature": ""} if kind == "thinking" else {})})
        return made + self._add({"type": f"{kind}_delta", kind: said})

    def call(self, piece: CallPiece) -> bytes:
        """Return the events that add to a call, whose block is opened first if it begins."""
        made = b"" if piece.begun is None else self._begin("tool_use", call_block(piece.begun, {}))
        if not piece.arguments:
            return made
        return made + self._add({"type": "input_json_delta", "partial_json": piece.arguments})

    def _begin(self, kind: str, block: dict[str, Any]) -> bytes:
        made = self.close()
        self.kind, self._index = kind, self._index + 1
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return made + named_event("content_block_start", start)

    def _add(self, delta: dict[str, Any]) -> bytes:
        more = {"type": "content_block_delta", "index": self._index, "delta": delta}
        return named_event("content_block_delta", more)

    def close(self) -> bytes:
        """Return the event that closes the open block."""
        if self.kind is None:
            return b""
        return named_event("content_block_stop", {"type": "content_block_stop", "index": self._index})
