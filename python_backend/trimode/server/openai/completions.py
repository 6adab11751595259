"""POST /v1/completions: a plain text goes on, or the gap before a suffix is filled. Knows its requests and answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from ...api.fields import INT32_MAX
from ...errors import Described
from .chat_completions import with_logprobs, with_usage
from .shared.asked import Asked, ask, repeated
from .shared.choice import Choice, Delta, best
from .shared.errors import refused
from .shared.exchange import DONE, Exchange, Last, TextFrame, error_event, event, new_id
from .shared.facts import Facts
from .shared.fields import Given, sort_fields
from .shared.kinds import integer, listing, text
from .shared.logprobs import Token, prompt_logprobs, text_logprobs
from .shared.prompt import ids_of, tokenizer_of
from .shared.table import MAX_CHOICES
from .shared.usage import COUNTS, metrics, usage
from .shared.work import Piece

TOKEN_ID = integer(0, INT32_MAX)
_NO_GAP_LOGPROBS = "does not go together with suffix: tokens of a gap may begin before it and end after it"
_NOT_OF_GAPS = {
    "logprobs": _NO_GAP_LOGPROBS,
    "prompt_logprobs": _NO_GAP_LOGPROBS,
    "truncate_prompt_tokens": "does not go together with suffix",
}


def translate(body: Mapping[str, Any], facts: Facts) -> Asked:
    """Return what a request asks for.

    Raises:
        FaceError: it is refused.
    """
    given = sort_fields("completions", body)
    suffix = given.get("suffix") or None
    prompts = read_prompts(given.get("prompt"), suffix)
    count = _count(given, len(prompts))
    asked = ask(given, facts, infill=suffix is not None)
    if given.get("max_tokens") == 0:
        asked = _only_echo(given, asked)
    if suffix is not None:
        for name in _NOT_OF_GAPS:
            if name in given.served:
                raise refused(name, _NOT_OF_GAPS[name], given.get(name), "not_applicable")
    asked = replace(with_logprobs(asked, given, given.get("logprobs"), facts), with_end=True)
    job = dict(asked.jobs[0])
    if given.get("echo") and asked.logprobs is not None:
        job["return_prompt_log_probs"] = True
    if job.get("max_tokens") == 0 and job.get("return_prompt_log_probs"):
        job["max_tokens"] = 1  # the least that generate takes; it costs no pass
        asked = replace(asked, silent=True)
    if suffix is not None:
        job = {**job, "suffix": suffix}
    if "best_of" in given.served:
        job["return_log_probs"] = True
        asked = replace(asked, keep=given.get("n", 1))
    echo = _echo(given, prompts, count, facts)
    return repeated(replace(asked, jobs=(job,), echo=echo), prompts, count)


def read_prompts(value: object, suffix: str | None) -> list[dict[str, Any]]:
    """Return, for each prompt, the field of generate that has it: text_input or input_ids.

    Raises:
        FaceError: there is none, or one is neither a text nor ids.
    """
    if value is None:
        if suffix is None:
            raise refused("prompt", "must be given", Described("nothing"), "bad_prompt")
        value = ""
    if isinstance(value, str):
        return [{"text_input": text("prompt", value)}]
    items = listing("prompt", value)
    if not items:
        raise refused("prompt", "must not be empty", items)
    if all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        return [_ids("prompt", items)]
    if len(items) > MAX_CHOICES:
        raise refused("prompt", f"may hold at most {MAX_CHOICES} prompts", Described(f"{len(items)} prompts"))
    return [
        {"text_input": text(f"prompt[{at}]", item)} if isinstance(item, str) else _ids(f"prompt[{at}]", item)
        for at, item in enumerate(items)
    ]


def _ids(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, list):
        raise refused(name, "must be a string or a list of token ids", value, "wrong_type")
    if not value:
        raise refused(name, "must not be empty", value)
    return {"input_ids": [TOKEN_ID(name, item) for item in value]}


def _count(given: Given, prompts: int) -> int:
    """Return how many answers each prompt gets, those included that best_of drops."""
    n = given.get("n", 1)
    count: int = given.get("best_of", n)
    if count < n:
        raise refused("best_of", f"must be at least n = {n}", count)
    if count > n and given.get("stream"):
        raise refused("best_of", "must be the same as n with stream", count, "not_applicable")
    if prompts * count > MAX_CHOICES:
        name = "best_of" if "best_of" in given.served else "n"
        limit = f"times the number of prompts must be at most {MAX_CHOICES}"
        raise refused(name, limit, Described(f"{count} times {prompts}"))
    return count


def _only_echo(given: Given, asked: Asked) -> Asked:
    """Check a request for no tokens, which makes sense with `echo` alone."""
    if not given.get("echo"):
        raise refused("max_tokens", "must be at least 1 without echo", 0)
    return asked


def _echo(given: Given, prompts: Sequence[Mapping[str, Any]], count: int, facts: Facts) -> tuple[str, ...]:
    """Return what stands in front of each answer."""
    if not given.get("echo"):
        return ()
    if given.get("suffix"):
        raise refused("echo", "does not go together with suffix", True, "not_applicable")
    shown = []
    for prompt in prompts:
        if "input_ids" in prompt:
            shown.append(tokenizer_of(facts, "echo").decode(prompt["input_ids"], special=True))
        else:
            shown.append(prompt["text_input"])
    return tuple(one for one in shown for _ in range(count))


@dataclass(frozen=True)
class Shape:
    """What all chunks and the answer of one request have in common."""

    id: str
    created: int
    asked: Asked
    _frames: dict[int, TextFrame] = field(default_factory=dict)

    def whole(self, choices: Sequence[Choice], kept: Sequence[Choice], seconds: float) -> dict[str, Any]:
        """Return the answer with those `choices` that are kept; all of them count for the usage."""
        last = [choice.last for choice in choices]
        return {
            **self.chunk([self._choice(index, choice, choices) for index, choice in enumerate(kept)]),
            "usage": usage(last, self.asked.prompts),
            "metrics": metrics(last, None, seconds),
            "system_fingerprint": None,
        }

    def _choice(self, index: int, choice: Choice, choices: Sequence[Choice]) -> dict[str, Any]:
        at = next(at for at, one in enumerate(choices) if one is choice)
        return {
            "index": index,
            "text": self.echo(at) + choice.text,
            "logprobs": self._logprobs(self._prompt_tokens(choice) + choice.tokens, 0),
            "finish_reason": choice.finish_reason,
            "stop_reason": choice.stopped_by,
            **({"token_ids": choice.ids} if self.asked.return_ids else {}),
            **self._prompt(at, choice),
            **choice.extras(),
        }

    def _prompt(self, at: int, choice: Choice) -> dict[str, Any]:
        """Return what vLLM says of the prompt of answer `at`."""
        asked = self.asked
        top = asked.prompt_logprobs
        found: dict[str, Any] = {} if top is None else {"prompt_logprobs": prompt_logprobs(choice.prompt, top)}
        if asked.prompt_ids:
            found["prompt_token_ids"] = list(asked.prompt_ids[at * asked.prompts // len(asked.jobs)])
        return found

    def _prompt_tokens(self, choice: Choice) -> list[Token]:
        """Return the tokens of the prompt if it stands in front of the answer."""
        return choice.prompt if self.asked.echo else []

    def echo(self, at: int) -> str:
        """Return what stands in front of an answer."""
        return self.asked.echo[at] if self.asked.echo else ""

    def _logprobs(self, tokens: list[Token], start: int) -> dict[str, Any] | None:
        if self.asked.logprobs is None:
            return None
        return text_logprobs(tokens, self.asked.logprobs, start, as_id=self.asked.ids_as_text)

    def chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Return a chunk with these choices."""
        made = {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.asked.model,
            "choices": choices,
        }
        return {**made, **({"usage": None} if self.asked.include_usage else {}), **more}

    def said(self, index: int, choice: Choice, delta: Delta, begins: bool) -> bytes:
        """Return the event of what a piece adds. Where that is text alone, all around it is the same in each."""
        if begins or delta.last or not delta.only_text or self.asked.logprobs is not None:
            return event(self.part(index, choice, delta, begins))
        if index not in self._frames:
            self._frames[index] = TextFrame(lambda text: self.part(index, choice, Delta(text), begins=False))
        return self._frames[index].event(delta.text)

    def part(self, index: int, choice: Choice, delta: Delta, begins: bool) -> dict[str, Any]:
        """Return the chunk of what a piece adds; the last one says why the answer ended."""
        front = self.echo(index) if begins else ""
        tokens, start = list(delta.tokens), len(self.echo(index)) + len(choice.text) - len(delta.text)
        if begins:
            tokens, start = self._prompt_tokens(choice) + tokens, 0
        made = {
            "index": index,
            "text": front + delta.text,
            "logprobs": self._logprobs(tokens, start),
            "finish_reason": choice.finish_reason if delta.last else None,
            "stop_reason": choice.stopped_by if delta.last else None,
        }
        if delta.ids:
            made["token_ids"] = list(delta.ids)
        if extras := {**(choice.extras().get("trimode", {}) if delta.last else {}), **delta.blocks()}:
            made["trimode"] = extras
        return self.chunk([made])

    def costs(self, choices: Sequence[Choice], first: float | None, seconds: float) -> dict[str, Any]:
        """Return the chunk with the usage."""
        last = [choice.last for choice in choices]
        return self.chunk([], usage=usage(last, self.asked.prompts), metrics=metrics(last, first, seconds))


async def pieces_of(exchange: Exchange, asked: Asked) -> AsyncGenerator[tuple[int, Piece]]:
    """Yield the pieces of all answers; those without tokens are made here, for their prompts to be shown."""
    service = exchange.service
    if asked.jobs[0].get("max_tokens") != 0:
        async with service.worker.pieces(asked, exchange.visit) as pieces:
            async for index, piece in pieces:
                yield index, piece
        return
    for index, job in enumerate(asked.jobs):
        count = len(await asyncio.to_thread(ids_of, job, service.facts))
        counts = {**dict.fromkeys(COUNTS, 0), "num_input_tokens": count}
        yield index, {"text_output": "", "finish_reason": "length", "cum_log_probs": 0.0, **counts}


async def events(exchange: Exchange, shape: Shape) -> AsyncGenerator[bytes]:
    """Yield the events of a stream."""
    asked, service = shape.asked, exchange.service
    choices = [Choice(asked, service.facts) for _ in asked.jobs]
    begun: set[int] = set()
    first: float | None = None
    left, said = len(choices), b""
    prompts = await exchange.prompt_tokens(asked)
    async with contextlib.aclosing(pieces_of(exchange, asked)) as pieces:
        async for index, piece in pieces:
            delta = choices[index].take(piece)
            if delta.says or delta.last:
                first = exchange.seconds if first is None else first
                begins = index not in begun
                if asked.continuous:
                    chunk = shape.part(index, choices[index], delta, begins)
                    said = event(with_usage(chunk, asked, choices, prompts))
                else:
                    said = shape.said(index, choices[index], delta, begins)
                begun.add(index)
                left -= delta.last
                if left:
                    yield said
    costs = event(shape.costs(choices, first, exchange.seconds)) if asked.include_usage else b""
    yield Last(said + costs + DONE)


async def create(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /v1/completions."""
    asked = await exchange.with_room(await exchange.translated(translate))
    service = exchange.service
    shape = Shape(new_id("cmpl-"), exchange.created, asked)
    if asked.stream:
        return await exchange.stream(events(exchange, shape), error_event)
    choices = [Choice(asked, service.facts) for _ in asked.jobs]
    async with contextlib.aclosing(pieces_of(exchange, asked)) as pieces:
        async for index, piece in pieces:
            choices[index].take(piece)
    kept = best(choices, asked.keep, asked.prompts)
    return exchange.json(shape.whole(choices, kept, exchange.seconds))
