"""/tokenize, /detokenize and /tokenizer_info, in vLLM's shapes: texts and conversations to ids, and what makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ...api.fields import INT32_MAX, MAX_INPUT_IDS
from ...bundle.vision_facts import PictureIds
from ...errors import Described
from .pictures import has_pictures, with_places
from .shared.dialogue import read_messages
from .shared.errors import refused
from .shared.exchange import Exchange
from .shared.facts import Facts
from .shared.kinds import boolean, integer, listing, mapping, text
from .shared.prompt import ids_of, tokenizer_of
from .tools.history import History
from .tools.prompt import listed_of, messages_of
from .tools.reading import CHAT, read_tools
from .tools.wanted import Tools

KNOWN = {"model", "prompt", "messages", "tools", "return_token_strs", "chat_template_kwargs"}
WITHOUT_EFFECT = {"add_special_tokens": (True, False), "add_generation_prompt": (True,),
                  "continue_final_message": (False,)}  # fmt: skip
"""Keys that are accepted with these values: no token is ever added, and the assistant's turn always comes."""
TOKEN_ID = integer(0, INT32_MAX)
PATHS = ("vocab_file", "merges_file", "tokenizer_file", "special_tokens_map_file")
"""Keys of a tokenizer_config.json that name files of the machine where it was written."""


def tokenize(body: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Return the answer to /tokenize.

    Raises:
        FaceError: the request is refused.
    """
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if name not in KNOWN and value not in WITHOUT_EFFECT.get(name, ()):
            limit = "must have another value here" if name in WITHOUT_EFFECT else "is not a field of this endpoint"
            raise refused(name, limit, value, "unknown_field")
    facts.names.mode_of(text("model", given.get("model", facts.names.names[0])))
    if ("prompt" in given) == ("messages" in given):
        raise refused("prompt", "or messages must be given, and not both", Described("both or none"), "bad_prompt")
    if "messages" in given:
        keywords = mapping("chat_template_kwargs", given.get("chat_template_kwargs", {}))
        thinking = boolean("chat_template_kwargs.enable_thinking", keywords.get("enable_thinking", False))
        tools = Tools.of(read_tools(given.get("tools", []), CHAT), facts.calls, "auto", parallel=True)
        turns = read_messages("messages", given["messages"], History())
        job = {"messages": messages_of(turns, tools, facts.calls), "enable_thinking": thinking}
        ids = ids_of(job, facts, listed_of(turns, tools, facts.calls))
        if has_pictures(job):
            ids = with_places(ids, job, PictureIds(*tokenizer_of(facts, "messages").picture_ids))
    else:
        ids = tokenizer_of(facts, "prompt").encode(text("prompt", given["prompt"]), field="prompt")
    names = None
    if boolean("return_token_strs", given.get("return_token_strs", False)):
        contents = tokenizer_of(facts, "prompt").vocabulary.of(ids)
        names = [content.decode("utf-8", "replace") for content in contents]
    return {"count": len(ids), "max_model_len": facts.capacity, "tokens": ids, "token_strs": names}


def detokenize(body: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Return the answer to /detokenize; special tokens are shown, as everything that was tokenized.

    Raises:
        FaceError: the request is refused.
    """
    for name, value in body.items():
        if name not in ("model", "tokens") and value is not None:
            raise refused(name, "is not a field of this endpoint", value, "unknown_field")
    facts.names.mode_of(text("model", body.get("model") or facts.names.names[0]))
    ids = listing("tokens", body.get("tokens"))
    if len(ids) > MAX_INPUT_IDS:
        raise refused("tokens", f"may hold at most {MAX_INPUT_IDS} ids", Described(f"{len(ids)} ids"))
    contents = tokenizer_of(facts, "tokens").vocabulary.of([TOKEN_ID("tokens", item) for item in ids])
    return {"prompt": b"".join(contents).decode("utf-8", "replace")}


def info(facts: Facts) -> dict[str, Any]:
    """Return the answer to /tokenizer_info: what tokenizer_config.json says, its class and the chat template.

    Source: vllm/entrypoints/serve/tokenize/serving.py, TokenizerInfo.

    Raises:
        FaceError: the checkpoint has no tokenizer.
    """
    tokenizer = tokenizer_of(facts, "model")
    said = {name: _plain(value) for name, value in facts.tokenizer_config.items() if name not in PATHS}
    said.setdefault("tokenizer_class", "PreTrainedTokenizerFast")  # what transformers takes for a tokenizer.json alone
    return {**said, "chat_template": tokenizer.template_text} if tokenizer.template_text else said


def _plain(value: Any) -> Any:
    """Return a value of the file with the text of each token in place of what is said of it, at any depth."""
    if isinstance(value, Mapping):
        content = value.get("content")
        if isinstance(content, str) and "lstrip" in value:
            return content
        return {name: _plain(one) for name, one in value.items()}
    return [*map(_plain, value)] if isinstance(value, list) else value


async def tell_info(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer GET /tokenizer_info, or /tokenizer_info?model=NAME for one of several."""
    facts = exchange.service.facts
    if (name := exchange.request.rel_url.query.get("model")) is not None:
        facts = exchange.services.of(name).facts
        facts.names.mode_of(name)
    return exchange.json(info(facts))


async def to_ids(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /tokenize."""
    return exchange.json(await exchange.translated(tokenize, aside=True))


async def to_text(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /detokenize."""
    return exchange.json(await exchange.translated(detokenize))
