"""POST /v1/responses."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from ..shared.choice import Choice
from ..shared.exchange import Exchange, error_event
from .events import events
from .reply import Reply
from .request import translate


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
