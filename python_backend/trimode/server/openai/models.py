"""GET /v1/models and /v1/models/{id}: the names that requests may give. A mode has a name of its own."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from aiohttp import web

from .shared.exchange import Exchange
from .shared.facts import Facts


def model(name: str, facts: Facts) -> dict[str, Any]:
    """Return what is said of a model.

    Raises:
        FaceError: no model has this name.
    """
    mode = facts.names.mode_of(name)
    base = name if mode is None else name.rpartition(":")[0]
    return {
        "id": name,
        "object": "model",
        "created": facts.created,
        "owned_by": "trimode",
        "root": base,
        "parent": None if mode is None else base,
        "max_model_len": facts.capacity,
        "max_images": facts.most_images,
    }


async def list_all(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer GET /v1/models."""
    facts = exchange.service.facts
    return exchange.json({"object": "list", "data": [model(name, facts) for name in facts.names.listed()]})


async def retrieve(exchange: Exchange, name: str) -> web.StreamResponse:
    """Answer GET /v1/models/{id}."""
    return exchange.json(model(unquote(name), exchange.service.facts))
