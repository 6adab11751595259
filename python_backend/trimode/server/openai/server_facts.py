"""GET /health, /version and /metrics, which routers, scrapers and load generators ask of the address that they use."""

from __future__ import annotations

from aiohttp import web

from ... import __version__
from ..serving import not_serving
from .shared.errors import face_error
from .shared.exchange import Exchange


async def live(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer while this process lives."""
    return web.Response(headers=exchange.headers())


async def ready(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer 200 without a body while requests are taken, and 503 otherwise."""
    state = exchange.service.state
    if not state.alive:
        raise face_error(not_serving(state))
    return web.Response(headers=exchange.headers())


async def version(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer with the version of this package."""
    return exchange.json({"version": __version__})


async def metrics(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer with what the port of metrics gives."""
    service = exchange.service
    content, content_type = await service.metrics.read()
    return web.Response(body=content, headers={**exchange.headers(), "Content-Type": content_type})
