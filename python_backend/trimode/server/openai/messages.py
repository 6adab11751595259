"""POST /v1/messages and /v1/messages/count_tokens: a conversation in the shape of Anthropic's API, texts alone.

Knows its answers, events and errors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from ...errors import Described
from .shared.asked import Asked, ask
from .shared.choice import Choice
from .shared.dialogue import prompt_for, read_content, read_messages, thought_is_open
from .shared.errors import FaceError, refused
from .shared.exchange import Exchange, named_event, new_id
from .shared.facts import Facts
from .shared.fields import Given, sort_fields
from .shared.kinds import integer, text
from .shared.prompt import ids_of

ERRORS = {401: "authentication_error", 404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error",
          503: "overloaded_error", 504: "timeout_error"}  # fmt: skip
"""Anthropic's names of errors by status; other ones are invalid_request_error below 500 and api_error above."""
BUDGET = integer(0, 2**31 - 1)


def translate(body: Mapping[str, Any], facts: Facts) -> Asked:
    """Return what a request asks for.

    Raises:
        FaceError: it is refused.
    """
    given = sort_fields("messages", body)
    for name in ("messages", "max_tokens"):
        if name not in given.served:
            raise refused(name, "must be given", Described("nothing"), "bad_prompt")
    said = given.get("messages")
    messages = read_messages("messages", said)
    if "system" in given.served:
        messages = [{"role": "system", "content": read_content("system", given.get("system"))}, *messages]
    thinking, budget = _thinking(given)
    given.served["stop"] = given.get("stop_sequences", [])
    if user := given.get("metadata", {}).get("user_id"):
        given.served["user"] = text("metadata.user_id", user)
    prompt = prompt_for(messages, thinking=thinking, goes_on=messages[-1]["role"] == "assistant")
    asked = ask(given, facts, thinking=thought_is_open(prompt))
    (job,) = asked.jobs
    job.pop("enable_thinking", None)
    if budget is not None:
        job["max_thinking_tokens"] = budget
    names = {**asked.names, "stop_words": "stop_sequences"}
    return replace(asked, jobs=({**job, **prompt},), names=names)


def count(body: Mapping[str, Any], facts: Facts) -> dict[str, int]:
    """Return how many tokens the prompt of a request has; its `max_tokens` may be left out.

    Raises:
        FaceError: it is refused.
    """
    asked = translate({**body, "max_tokens": 1}, facts)
    return {"input_tokens": len(ids_of(asked.jobs[0], facts))}


def _thinking(given: Given) -> tuple[bool, int | None]:
    """Return whether to think, and in how many tokens."""
    said = given.get("thinking")
    if said is None:
        return bool(given.knobs.get("enable_thinking")), None
    for name in said:
        if name not in ("type", "budget_tokens", "display"):
            raise refused(f"thinking.{name}"[:80], "is not an option here", said[name], "unknown_field")
    if said.get("type") not in ("enabled", "disabled", "adaptive"):
        raise refused("thinking.type", "must be enabled, disabled or adaptive", said.get("type"))
    budget = said.get("budget_tokens")
    return said["type"] != "disabled", None if budget is None else BUDGET("thinking.budget_tokens", budget)


def error_body(error: FaceError) -> dict[str, Any]:
    """Return an error in Anthropic's form."""
    fallback = "api_error" if error.status >= 500 else "invalid_request_error"
    return {"type": "error", "error": {"type": ERRORS.get(error.status, fallback), "message": error.message}}


def error_event(error: FaceError) -> bytes:
    """Return the event that ends a stream with an error."""
    return named_event("error", error_body(error))


def ending(choice: Choice) -> dict[str, Any]:
    """Return why an answer ended."""
    if choice.stopped_by is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": choice.stopped_by}
    reason = {"stop": "end_turn", "length": "max_tokens"}.get(choice.finish_reason or "")
    return {"stop_reason": reason, "stop_sequence": None}


def costs(choice: Choice) -> dict[str, Any]:
    """Return the usage; what was in the cache is not among the input tokens."""
    last = choice.last
    return {
        "input_tokens": last["num_input_tokens"] - last["cached_tokens"],
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": last["cached_tokens"],
        "output_tokens": last["num_output_tokens"],
    }


def message(identity: str, choice: Choice) -> dict[str, Any]:
    """Return the answer."""
    content = [{"type": "thinking", "thinking": choice.thought, "signature": ""}] if choice.thought else []
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": choice.asked.model,
        "content": [*content, {"type": "text", "text": choice.text}],
        **ending(choice),
        "usage": costs(choice),
        **choice.extras(),
    }


async def events(exchange: Exchange, asked: Asked) -> AsyncGenerator[bytes]:
    """Yield the events of a stream."""
    service = exchange.service
    choice, blocks = Choice(asked, service.facts), Blocks()
    begun = False
    async with contextlib.aclosing(service.worker.pieces(asked, exchange.visit)) as pieces:
        async for _, piece in pieces:
            delta, made = choice.take(piece), b""
            if not begun:
                count = len(await asyncio.to_thread(ids_of, asked.jobs[0], service.facts))
                made, begun = opening(asked, count), True
            if delta.thought:
                made += blocks.add("thinking", delta.thought)
            if delta.text:
                made += blocks.add("text", delta.text)
            if made:
                yield made
    if blocks.kind is None:
        yield blocks.add("text", "")
    last = {"type": "message_delta", "delta": ending(choice), "usage": costs(choice), **choice.extras()}
    yield blocks.close() + named_event("message_delta", last) + named_event("message_stop", {"type": "message_stop"})


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
            made = self.close()
            self.kind, self._index = kind, self._index + 1
            block = {"type": kind, kind: "", **({"signature": ""} if kind == "thinking" else {})}
            start = {"type": "content_block_start", "index": self._index, "content_block": block}
            made += named_event("content_block_start", start)
        delta = {"type": f"{kind}_delta", kind: said}
        more = {"type": "content_block_delta", "index": self._index, "delta": delta}
        return made + named_event("content_block_delta", more)

    def close(self) -> bytes:
        """Return the event that closes the open block."""
        if self.kind is None:
            return b""
        return named_event("content_block_stop", {"type": "content_block_stop", "index": self._index})


async def create(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /v1/messages."""
    asked = await exchange.translated(translate)
    if asked.stream:
        return await exchange.stream(events(exchange, asked), error_event)
    choice = Choice(asked, exchange.service.facts)
    (piece,) = await exchange.service.worker.whole(asked, exchange.visit)
    choice.take(piece)
    return exchange.json(message(new_id("msg_"), choice))


async def count_tokens(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /v1/messages/count_tokens."""
    return exchange.json(await exchange.translated(count, aside=True))
