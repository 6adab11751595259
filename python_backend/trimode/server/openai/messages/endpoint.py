"""POST /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

from aiohttp import web

from ..shared.choice import Choice
from ..shared.exchange import Exchange, new_id
from .answer import error_body, message
from .events import error_event, events
from .request import count, translate

__all__ = ["count_tokens", "create", "error_body"]


async def create(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /v1/messages."""
    asked = await exchange.with_room(await exchange.translated(translate))
    if asked.stream:
        return await exchange.stream(events(exchange, asked), error_event)
    choice = Choice(asked, exchange.service.facts)
    (piece,) = await exchange.service.worker.whole(asked, exchange.visit)
    choice.take(piece)
    return exchange.json(message(new_id("msg_"), choice))


async def count_tokens(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /v1/messages/count_tokens."""
    return exchange.json(await exchange.translated(count, aside=True))
