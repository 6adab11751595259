"""POST /v1/responses without a memory: each request has all that is said. Knows its requests, answers and events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from ...errors import Described
from .chat_completions import NOT_THINKING
from .shared.asked import Asked, ask
from .shared.choice import Choice
from .shared.dialogue import Message, read_messages
from .shared.errors import refused
from .shared.exchange import Exchange, error_event, named_event, new_id
from .shared.facts import Facts
from .shared.fields import Given, sort_fields
from .shared.kinds import listing, one_of, text
from .shared.usage import usage

EFFORT = one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")
ECHOED = ("instructions", "max_output_tokens", "metadata", "temperature", "top_p", "user")
"""Fields that come back in the answer."""
MESSAGE = (None, "message")  # types of an item that is said; a message of the input need not have one


@dataclass(frozen=True)
class Wanted:
    """What a request asks for, and what its answer repeats of it."""

    asked: Asked
    echo: dict[str, Any]


def translate(body: Mapping[str, Any], facts: Facts) -> Wanted:
    """Return what a request asks for.

    Raises:
        FaceError: it is refused.
    """
    given = sort_fields("responses", body)
    messages = read_input(given.get("input"))
    if "instructions" in given.served:
        messages = [{"role": "system", "content": given.get("instructions")}, *messages]
    thinking, effort = _thinking(given)
    asked = ask(given, facts, thinking=thinking)
    (job,) = asked.jobs
    job = {**job, "messages": messages, "enable_thinking": thinking}
    asked = replace(asked, jobs=(job,), names={**asked.names, "messages": "input"})
    echo = {name: given.get(name) for name in ECHOED}
    return Wanted(asked, {**echo, "metadata": echo["metadata"] or {}, "reasoning": {"effort": effort, "summary": None}})


def read_input(value: object) -> list[Message]:
    """Return the messages of an input: a text of the user, or a list of items.

    Raises:
        FaceError: there is none, or an item is no text.
    """
    if value is None:
        raise refused("input", "must be given", Described("nothing"), "bad_prompt")
    if isinstance(value, str):
        return [{"role": "user", "content": text("input", value)}]
    items = []
    for at, item in enumerate(listing("input", value)):
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "reasoning":
            continue  # a thought of an earlier turn is not shown to the model again
        if kind not in MESSAGE:
            raise refused(f"input[{at}].type", "must be message (Tools are not served)", kind, "not_applicable")
        items.append(item)
    return read_messages("input", items)


def _thinking(given: Given) -> tuple[bool, str | None]:
    """Return whether to think, and the effort as it was said."""
    said = given.get("reasoning", {})
    for name, value in said.items():
        if name not in ("effort", "summary", "generate_summary"):
            raise refused(f"reasoning.{name}"[:80], "is not an option here", value, "unknown_field")
    if "effort" not in said:
        return bool(given.knobs.get("enable_thinking")), None
    effort = EFFORT("reasoning.effort", said["effort"])
    return effort not in NOT_THINKING, effort


def thought_item(identity: str, thought: str, status: str) -> dict[str, Any]:
    """Return the thought as an item of the output."""
    content = [{"type": "reasoning_text", "text": thought}] if thought else []
    return {"id": identity, "type": "reasoning", "summary": [], "content": content, "status": status}


def text_item(identity: str, choice: Choice, status: str) -> dict[str, Any]:
    """Return the text as an item of the output."""
    content = [] if status == "in_progress" else [text_part(choice.text)]
    return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": content}


def text_part(said: str) -> dict[str, Any]:
    """Return a text as a part of an item."""
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": []}


@dataclass
class Reply:
    """The answer while it is made.

    Attributes:
        thought_id, text_id: of the items of the output.
    """

    created: int
    wanted: Wanted
    choice: Choice
    id: str = field(default_factory=lambda: new_id("resp_"))
    thought_id: str = field(default_factory=lambda: new_id("rs_"))
    text_id: str = field(default_factory=lambda: new_id("msg_"))

    def status(self) -> str:
        """Return how far it is."""
        return {"stop": "completed", "length": "incomplete"}.get(self.choice.finish_reason or "", "in_progress")

    def items(self) -> list[dict[str, Any]]:
        """Return the output once it is complete."""
        status = self.status()
        thought = [thought_item(self.thought_id, self.choice.thought, "completed")] if self.choice.thought else []
        return [*thought, text_item(self.text_id, self.choice, status)]

    def body(self) -> dict[str, Any]:
        """Return the response as it is now."""
        status, done = self.status(), bool(self.choice.last)
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "model": self.wanted.asked.model,
            "output": self.items() if done else [],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "text": {"format": {"type": "text"}},
            "tool_choice": "none",
            "tools": [],
            "truncation": "disabled",
            "usage": self.usage() if done else None,
            **self.wanted.echo,
            **(self.choice.extras() if done else {}),
        }

    def usage(self) -> dict[str, Any]:
        """Return what it cost."""
        spent = usage([self.choice.last], 1, self.choice.reasoning_tokens)
        return {
            "input_tokens": spent["prompt_tokens"],
            "input_tokens_details": {**spent["prompt_tokens_details"], "cache_write_tokens": 0},
            "output_tokens": spent["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": self.choice.reasoning_tokens},
            "total_tokens": spent["total_tokens"],
        }


class Events:
    """Numbers the events of one stream, and opens and closes the items of its output."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._number = -1
        self._index = -1
        self._open: str | None = None

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

    def close(self) -> bytes:
        """Return the events that close the open item."""
        reply, kind = self._reply, self._open
        if kind is None:
            return b""
        if kind == "thought":
            made = self.event("reasoning_text.done", **self._place(), text=reply.choice.thought)
            item = thought_item(reply.thought_id, reply.choice.thought, "completed")
        else:
            said = reply.choice.text
            made = self.event("output_text.done", **self._place(), text=said, logprobs=[])
            made += self.event("content_part.done", **self._place(), part=text_part(said))
            item = text_item(reply.text_id, reply.choice, reply.status())
        return made + self.event("output_item.done", output_index=self._index, item=item)

    def _begin(self, kind: str, item: dict[str, Any]) -> bytes:
        self._open, self._index = kind, self._index + 1
        return self.event("output_item.added", output_index=self._index, item=item)

    def _place(self) -> dict[str, Any]:
        item = self._reply.thought_id if self._open == "thought" else self._reply.text_id
        return {"item_id": item, "output_index": self._index, "content_index": 0}


async def events(exchange: Exchange, reply: Reply) -> AsyncGenerator[bytes]:
    """Yield the events of a stream."""
    made, choice = Events(reply), reply.choice
    begun = False
    async with contextlib.aclosing(exchange.service.worker.pieces(reply.wanted.asked, exchange.visit)) as pieces:
        async for _, piece in pieces:
            said = b"" if begun else made.state("created") + made.state("in_progress")
            begun = True
            delta = choice.take(piece)
            if delta.thought:
                said += made.thought(delta.thought)
            if delta.text or delta.last:
                said += made.text(delta.text)
            if said:
                yield said
    yield made.close() + made.state("completed" if reply.status() == "completed" else "incomplete")


async def create(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /v1/responses."""
    wanted = await exchange.translated(translate)
    wanted = replace(wanted, asked=await exchange.with_room(wanted.asked))
    reply = Reply(exchange.created, wanted, Choice(wanted.asked, exchange.service.facts))
    if wanted.asked.stream:
        return await exchange.stream(events(exchange, reply), error_event)
    (piece,) = await exchange.service.worker.whole(wanted.asked, exchange.visit)
    reply.choice.take(piece)
    return exchange.json(reply.body())
