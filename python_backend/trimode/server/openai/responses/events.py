"""The events of a response that is streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from ..shared.exchange import Exchange, Last, named_event
from ..tools.calls import Call, CallPiece
from .reply import Reply, call_item, call_item_id, text_item, text_part, thought_item


class Events:
    """Numbers the events of one stream, and opens and closes the items of its output."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._number = -1
        self._index = -1
        self._open: str | None = None
        self._call: Call | None = None  # the open item, if it is one

    def event(self, kind: str, **data: Any) -> bytes:
        """Return one event."""
        self._number += 1
        name = f"response.{kind}"
        return named_event(name, {"type": name, "sequence_number": self._number, **data})

    def state(self, kind: str) -> bytes:
        """Return an event with the response as it is now."""
        return self.event(kind, response=self._reply.body())

    def thought(self, said: str) -> bytes:
        """Return the events that add to the thought."""
        item = thought_item(self._reply.thought_id, "", "in_progress")
        made = b"" if self._open else self._begin("thought", item)
        return made + self.event("reasoning_text.delta", **self._place(), delta=said)

    def text(self, said: str) -> bytes:
        """Return the events that add to the text."""
        made = b""
        if self._open != "text":
            made = self.close() + self._begin("text", text_item(self._reply.text_id, self._reply.choice, "in_progress"))
            made += self.event("content_part.added", **self._place(), part=text_part(""))
        return made + self.event("output_text.delta", **self._place(), delta=said, logprobs=[])

    def call(self, piece: CallPiece) -> bytes:
        """Return the events that add to a call, which is opened first if it begins."""
        made = b""
        if piece.begun is not None:
            made = self.close() + self._begin("call", call_item(piece.begun, "in_progress"))
            self._call = piece.begun
        if not piece.arguments:
            return made
        return made + self.event("function_call_arguments.delta", **self._call_place(), delta=piece.arguments)

    def close(self) -> bytes:
        """Return the events that close the open item."""
        reply, kind = self._reply, self._open
        if kind is None:
            return b""
        if self._call is not None:
            call = self._call
            done = {"name": call.name, "arguments": call.arguments}
            made = self.event("function_call_arguments.done", **self._call_place(), **done)
            item = call_item(call, reply.call_status(call))
            self._call = None
            return made + self.event("output_item.done", output_index=self._index, item=item)
        if kind == "thought":
            made = self.event("reasoning_text.done", **self._place(), text=reply.choice.thought)
            item = thought_item(reply.thought_id, reply.choice.thought, "completed")
        else:
            said, status = reply.choice.text, "completed" if reply.choice.calls else reply.status()
            made = self.event("output_text.done", **self._place(), text=said, logprobs=[])
            made += self.event("content_part.done", **self._place(), part=text_part(said))
            item = text_item(reply.text_id, reply.choice, status)
        return made + self.event("output_item.done", output_index=self._index, item=item)

    def _begin(self, kind: str, item: dict[str, Any]) -> bytes:
        self._open, self._index = kind, self._index + 1
        return self.event("output_item.added", output_index=self._index, item=item)

    def _call_place(self) -> dict[str, Any]:
        assert self._call is not None
        return {"item_id": call_item_id(self._call), "output_index": self._index}

    def _place(self) -> dict[str, Any]:
        item = self._reply.thought_id if self._open == "thought" else self._reply.text_id
        return {"item_id": item, "output_index": self._index, "content_index": 0}


async def events(exchange: Exchange, reply: Reply) -> AsyncGenerator[bytes]:
    """Yield the events of a stream."""
    made, choice = Events(reply), reply.choice
    begun = False
    async with exchange.service.worker.pieces(reply.wanted.asked, exchange.visit) as pieces:
        async for _, piece in pieces:
            said = b"" if begun else made.state("created") + made.state("in_progress")
            begun = True
            delta = choice.take(piece)
            if delta.thought:
                said += made.thought(delta.thought)
            if delta.text or (delta.last and choice.has_words):
                said += made.text(delta.text)
            said += b"".join(map(made.call, delta.calls))
            if said:
                yield said
    yield Last(made.close() + made.state("completed" if reply.status() == "completed" else "incomplete"))
