"""GET /v1/models and /v1/models/{id}: the names that requests may give. A mode has a name of its own."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from aiohttp import web

from .shared.exchange import Exchange
from .shared.facts import Facts


def model(name: str, facts: Facts, model_name: str) -> dict[str, Any]:
    """Return what is said of a model by one of its names; KServe's clients know it as `model_name`.

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
        "model_name": model_name,
        "max_model_len": facts.capacity,
        "max_images": facts.most_images,
    }


async def list_all(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer GET /v1/models."""
    every = [(one.facts, one.model_name) for one in exchange.services]
    data = [model(name, facts, model_name) for facts, model_name in every for name in facts.names.listed()]
    return exchange.json({"object": "list", "data": data})


async def retrieve(exchange: Exchange, name: str) -> web.StreamResponse:
    """Answer GET /v1/models/{id}."""
    asked = unquote(name)
    service = exchange.services.of(asked)
    return exchange.json(model(asked, service.facts, service.model_name))
