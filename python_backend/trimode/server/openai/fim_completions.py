"""POST /v1/fim/completions: what belongs between a prompt and a suffix, in Mistral's dialect, which editors speak.

Answers have the shape of chats. Without a suffix the prompt goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from ...errors import Described
from .chat_completions import reply
from .shared.asked import Asked, ask, repeated
from .shared.errors import refused
from .shared.exchange import Exchange
from .shared.facts import Facts
from .shared.fields import sort_fields


def translate(body: Mapping[str, Any], facts: Facts) -> Asked:
    """Return what a request asks for.

    Raises:
        FaceError: it is refused.
    """
    given = sort_fields("fim", body)
    suffix = given.get("suffix") or None
    if "prompt" not in given.served:
        raise refused("prompt", "must be given", Described("nothing"), "bad_prompt")
    if given.get("max_tokens") == 0:
        raise refused("max_tokens", "must be at least 1", 0)
    asked = ask(given, facts, infill=suffix is not None)
    job = {**asked.jobs[0], "text_input": given.get("prompt"), **({"suffix": suffix} if suffix else {})}
    return repeated(replace(asked, jobs=(job,)), [{}], 1)


async def create(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /v1/fim/completions."""
    return await reply(exchange, await exchange.translated(translate))
