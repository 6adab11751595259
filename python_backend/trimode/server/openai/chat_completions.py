"""POST /v1/chat/completions: a conversation goes on. Knows the shapes of requests, answers and chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from ...errors import Described
from .shared.asked import Asked, ask, repeated
from .shared.choice import Choice, Delta
from .shared.dialogue import prompt_for, read_messages, thought_is_open
from .shared.errors import refused
from .shared.exchange import DONE, Exchange, Last, TextFrame, error_event, event, new_id
from .shared.facts import Facts
from .shared.fields import Given, sort_fields
from .shared.kinds import boolean
from .shared.logprobs import chat_logprobs, prompt_logprobs
from .shared.prompt import tokenizer_of
from .shared.usage import metrics, running, usage
from .tools.calls import CallPiece
from .tools.choices import of_chat
from .tools.form import with_tools
from .tools.history import History, Turn
from .tools.prompt import Message, listed_of, messages_of
from .tools.wanted import Tools

NOT_THINKING = ("none", "minimal")
"""Values of reasoning_effort that turn thinking off; every other one turns it on."""


def translate(body: Mapping[str, Any], facts: Facts) -> Asked:
    """Return what a request asks for.

    Raises:
        FaceError: it is refused.
    """
    given = sort_fields("chat", body)
    if "messages" not in given.served:
        raise refused("messages", "must be given", Described("nothing"), "bad_prompt")
    if given.get("max_tokens") == 0:
        raise refused("max_tokens", "must be at least 1", 0)
    thinking = thinks(given)
    tools = of_chat(given, facts.calls)
    turns = read_messages("messages", given.get("messages"), History())
    prompt = _prompt(given, turns, messages_of(turns, tools, facts.calls), tools, thinking=thinking)
    asked = with_tools(ask(given, facts, thinking=thought_is_open(prompt)), tools, facts)
    listed = listed_of(turns, tools, facts.calls)
    top = given.get("top_logprobs")
    if top is not None and not given.get("logprobs"):
        raise refused("top_logprobs", "needs logprobs", top, "not_applicable")
    asked = with_logprobs(asked, given, (top or 0) if given.get("logprobs") else None, facts)
    job = {**asked.jobs[0], **prompt}
    if "enable_thinking" not in prompt:
        job.pop("enable_thinking", None)
    names = dict(asked.names)
    if "thinking_token_budget" in given.served:
        job["max_thinking_tokens"] = given.get("thinking_token_budget")
        names["max_thinking_tokens"] = "thinking_token_budget"
    return repeated(replace(asked, jobs=(job,), names=names, listed=listed), [{}], given.get("n", 1))


def thinks(given: Given) -> bool:
    """Return whether a request asks for a thought: by the template's own keyword, ours, or OpenAI's."""
    keywords = given.get("chat_template_kwargs", {})
    for name, value in keywords.items():
        if name != "enable_thinking":
            raise refused(f"chat_template_kwargs.{name}"[:80], "is not an option here", value, "unknown_field")
        boolean(f"chat_template_kwargs.{name}", value)
    effort = given.get("reasoning_effort")
    fallback = effort is not None and effort not in NOT_THINKING
    return bool(keywords.get("enable_thinking", given.knobs.get("enable_thinking", fallback)))


def _prompt(
    given: Given, turns: list[Turn], messages: list[Message], tools: Tools | None, *, thinking: bool
) -> dict[str, Any]:
    """Return the field of generate that has the prompt, and whether to think."""
    goes_on, turn = given.get("continue_final_message", False), given.get("add_generation_prompt")
    if not goes_on and turn is False:
        raise refused("add_generation_prompt", "must be true without continue_final_message", turn)
    if goes_on and turn:
        raise refused("add_generation_prompt", "must be false with continue_final_message", turn)
    if goes_on and turns[-1].role != "assistant":
        limit = "needs a last message of the assistant"
        raise refused("continue_final_message", limit, True, "not_applicable")
    if goes_on and tools is not None and tools.choice == "required":
        raise refused("continue_final_message", "needs tool_choice none or auto", True, "not_applicable")
    return prompt_for(messages, thinking=thinking, goes_on=goes_on)


def with_logprobs(asked: Asked, given: Given, top: int | None, facts: Facts) -> Asked:
    """Return `asked` with log-probabilities of the answer, unless `top` is None, and of the prompt if that is asked.

    Raises:
        FaceError: there is no tokenizer to show tokens, or a stream is to have those of the prompt.
    """
    of_prompt = given.get("prompt_logprobs")
    if top is None and of_prompt is None:
        return asked
    tokenizer_of(facts, "logprobs" if of_prompt is None else "prompt_logprobs")
    if of_prompt is not None and asked.stream:
        raise refused("prompt_logprobs", "does not go together with stream", of_prompt, "not_applicable")
    job = {**asked.jobs[0], "top_log_probs": max(top or 0, of_prompt or 0)}
    if top is not None:
        job |= {"return_log_probs": True, "return_token_ids": True}
    if of_prompt is not None:
        job["return_prompt_log_probs"] = True
    as_text = bool(given.get("return_tokens_as_token_ids"))
    return replace(asked, jobs=(job,), logprobs=top, prompt_logprobs=of_prompt, ids_as_text=as_text)


@dataclass(frozen=True)
class Shape:
    """What all chunks and the answer of one request have in common."""

    id: str
    created: int
    asked: Asked
    _frames: dict[int, TextFrame] = field(default_factory=dict)

    def whole(self, choices: Sequence[Choice], seconds: float) -> dict[str, Any]:
        """Return the answer."""
        last = [choice.last for choice in choices]
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.asked.model,
            "choices": [self._choice(index, choice) for index, choice in enumerate(choices)],
            "usage": usage(last, self.asked.prompts, sum(choice.reasoning_tokens for choice in choices)),
            "metrics": metrics(last, None, seconds),
            **self._prompt(choices[0]),
            "system_fingerprint": None,
            "service_tier": None,
        }

    def _prompt(self, choice: Choice) -> dict[str, Any]:
        top, ids = self.asked.prompt_logprobs, self.asked.prompt_ids
        found: dict[str, Any] = {} if top is None else {"prompt_logprobs": prompt_logprobs(choice.prompt, top)}
        return {**found, "prompt_token_ids": list(ids[0])} if ids else found

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        said = choice.text if choice.has_words else None
        message: dict[str, Any] = {"role": "assistant", "content": said, "refusal": None}
        if choice.calls:
            message["tool_calls"] = [_call(call.id, call.name, call.arguments) for call in choice.calls]
        if choice.thought:
            message |= {"reasoning_content": choice.thought, "reasoning": choice.thought}
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs(choice.tokens),
            "finish_reason": choice.finish_reason,
            "stop_reason": choice.stopped_by,
            **({"token_ids": choice.ids} if self.asked.return_ids else {}),
            **choice.extras(),
        }

    def _logprobs(self, tokens: Sequence[Any]) -> dict[str, Any] | None:
        if self.asked.logprobs is None:
            return None
        return chat_logprobs(tokens, self.asked.logprobs, as_id=self.asked.ids_as_text)

    def chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Return a chunk with these choices."""
        made = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.asked.model,
            "choices": choices,
        }
        return {**made, **({"usage": None} if self.asked.include_usage else {}), **more}

    def opening(self, index: int) -> dict[str, Any]:
        """Return the first chunk of an answer."""
        delta = {"role": "assistant", "content": None if self.asked.calls_only else ""}
        return self.chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}])

    def said(self, index: int, delta: Delta) -> bytes:
        """Return the event of what a piece adds. Where that is text alone, all around it is the same in each."""
        if not delta.only_text:
            return event(self.middle(index, delta))
        if index not in self._frames:
            self._frames[index] = TextFrame(lambda text: self.middle(index, Delta(text)))
        return self._frames[index].event(delta.text)

    def middle(self, index: int, delta: Delta) -> dict[str, Any]:
        """Return the chunk of what a piece adds."""
        said: dict[str, Any] = {"content": delta.text} if delta.text or not (delta.thought or self.asked.tools) else {}
        if delta.thought:
            said |= {"reasoning_content": delta.thought, "reasoning": delta.thought}
        choice = {"index": index, "delta": said, "logprobs": self._logprobs(delta.tokens), "finish_reason": None}
        if delta.ids:
            choice["token_ids"] = list(delta.ids)
        if blocks := delta.blocks():
            choice["trimode"] = blocks
        return self.chunk([choice])

    def calling(self, index: int, piece: CallPiece) -> dict[str, Any]:
        """Return the chunk of what is added to a call."""
        call = {"function": {"arguments": piece.arguments}}
        if piece.begun is not None:
            call = _call(piece.begun.id, piece.begun.name, "")
        delta = {"tool_calls": [{"index": piece.index, **call}]}
        return self.chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}])

    def closing(self, index: int, choice: Choice) -> dict[str, Any]:
        """Return the last chunk of an answer."""
        ending = {"finish_reason": choice.finish_reason, "stop_reason": choice.stopped_by, **choice.extras()}
        return self.chunk([{"index": index, "delta": {}, "logprobs": None, **ending}])

    def costs(self, choices: Sequence[Choice], first: float | None, seconds: float) -> dict[str, Any]:
        """Return the chunk with the usage."""
        last = [choice.last for choice in choices]
        spent = usage(last, self.asked.prompts, sum(choice.reasoning_tokens for choice in choices))
        return self.chunk([], usage=spent, metrics=metrics(last, first, seconds))


def _call(identity: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


async def events(exchange: Exchange, shape: Shape) -> AsyncGenerator[bytes]:
    """Yield the events of a stream."""
    asked, service = shape.asked, exchange.service
    choices = [Choice(asked, service.facts) for _ in asked.jobs]
    begun: set[int] = set()
    first: float | None = None
    left, made = len(choices), list[bytes]()
    prompts = await exchange.prompt_tokens(asked)

    def sent(chunk: dict[str, Any]) -> bytes:
        return event(with_usage(chunk, asked, choices, prompts))

    async with service.worker.pieces(asked, exchange.visit) as pieces:
        async for index, piece in pieces:
            choice, made = choices[index], []
            delta = choice.take(piece)
            if index not in begun:
                begun.add(index)
                made.append(sent(shape.opening(index)))
            if delta.says:
                first = exchange.seconds if first is None else first
                if delta.says_more_than_calls:
                    made.append(sent(shape.middle(index, delta)) if asked.continuous else shape.said(index, delta))
                made += [sent(shape.calling(index, call)) for call in delta.calls]
            if delta.last:
                made.append(sent(shape.closing(index, choice)))
                left -= 1
            if made and left:
                yield b"".join(made)
    if asked.include_usage:
        made.append(event(shape.costs(choices, first, exchange.seconds)))
    yield Last(b"".join((*made, DONE)))


def with_usage(chunk: dict[str, Any], asked: Asked, choices: Sequence[Choice], prompt_tokens: int) -> dict[str, Any]:
    """Return a chunk with the usage as it is now, if every chunk is to have it."""
    if not asked.continuous:
        return chunk
    last = [choice.last for choice in choices]
    if all(last):
        return {**chunk, "usage": usage(last, asked.prompts, sum(choice.reasoning_tokens for choice in choices))}
    return {**chunk, "usage": running(prompt_tokens, ((choice.last, len(choice.ids)) for choice in choices))}


async def reply(exchange: Exchange, asked: Asked) -> web.StreamResponse:
    """Answer in the shape of chats; the endpoint for gaps does so too."""
    asked = await exchange.with_room(asked)
    shape = Shape(new_id("chatcmpl-"), exchange.created, asked)
    if asked.stream:
        return await exchange.stream(events(exchange, shape), error_event)
    service = exchange.service
    choices = []
    for piece in await service.worker.whole(asked, exchange.visit):
        choices.append(Choice(asked, service.facts))
        choices[-1].take(piece)
    return exchange.json(shape.whole(choices, exchange.seconds))


async def create(exchange: Exchange, _: str) -> web.StreamResponse:
    """Answer POST /v1/chat/completions."""
    return await reply(exchange, await exchange.translated(translate))
