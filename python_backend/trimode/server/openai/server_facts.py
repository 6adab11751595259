"""GET /health, /version and /metrics, which routers, scrapers and load generators ask of the address that they use."""

from __future__ import annotations

from aiohttp import web

from ... import __version__
from ...errors import LostError
from ..serving import lost_error, not_serving, silent_error
from .shared.errors import face_error
from .shared.exchange import Exchange

METRICS_SECONDS = 10.0  # for Triton's metrics; it writes them at once


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
    """Answer with what Triton's own port for metrics gives."""
    state = exchange.service.state
    try:
        async with exchange.service.metrics.request("GET", "/metrics", silence=METRICS_SECONDS) as answer:
            content = await answer.read()
    except TimeoutError as exc:
        raise face_error(silent_error()) from exc
    except LostError as exc:
        raise face_error(lost_error(state)) from exc
    except OSError as exc:
        raise face_error(not_serving(state)) from exc
    return web.Response(body=content, headers={**exchange.headers(), "Content-Type": answer.content_type})
