"""A request to generate: prompt in, text out. One job; the mode decides how it is decoded."""

from __future__ import annotations

from dataclasses import replace

from ..api.params import GenerationParams
from ..decoding.sequence import SequenceState
from ..errors import PromptTooLongError
from ..scheduling.block_view import BlockView
from ..scheduling.job import Job
from ..text.answer_text import AnswerText
from ..text.prompt import block_beside, read_text, room_after
from .free_drafts import free_drafts_of
from .guides import guide_of
from .request import Handle, Request
from .services import Services
from .token_rules import rules_of


def start(request: Request, services: Services) -> Handle:
    """Queue the request's only job; see registry.start."""
    text, ids = read_prompt(request.params, services)
    prompt = request.pictures.placed(ids)
    capacity = services.capacity_for(request.params)
    params = fit(request.params, len(prompt), capacity, asked=request.length_asked)
    view = BlockView(services.token_texts, params)
    job = Job(
        sequence=SequenceState(
            params,
            prompt,
            services.mask_token_id,
            params.block.draft_adapter,
            rules=rules_of(params, services),
            guide=guide_of(params, services),
            free_drafts=free_drafts_of(params, prompt, services),
            pictures=request.pictures.of_prompt(prompt),
        ),
        text=AnswerText(
            services.tokenizer,
            params.stop_words,
            at_once=not params.returns.stream,
            least=params.choice.min_tokens,
            show_stop=params.returns.include_stop_str_in_output,
            show_special=not params.returns.skip_special_tokens,
        ),
        deliver=services.post(request.sink),
        watch=lambda chunk, passes: services.outbox.post(view.before(request.sink, passes), chunk),
        prompt_text="" if params.returns.exclude_input_in_output else text,
    )
    return services.submit(job, request)


def read_prompt(params: GenerationParams, services: Services) -> tuple[str, list[int]]:
    """Return the prompt's text, "" where nobody needs it, and its ids.

    Raises:
        RequestError: there is no tokenizer for it, or it is empty.
        PromptTooLongError: it cannot fit the capacity.
    """
    prompt, tokenizer, capacity = params.prompt, services.tokenizer, services.capacity
    if params.stop_words:
        services.tokenizer_for("stop_words", params.stop_words)
    if prompt.input_ids is not None:
        ids = list(prompt.input_ids)
        if tokenizer is None or params.returns.exclude_input_in_output:
            return "", ids
        return tokenizer.decode(ids, special=not params.returns.skip_special_tokens), ids
    return read_text(prompt, services.tokenizer_for(prompt.field, hint="; send input_ids"), capacity)


def fit(params: GenerationParams, prompt: int, capacity: int, *, asked: bool) -> GenerationParams:
    """Check that a prompt of so many tokens, the answer and one block fit.

    Args:
        asked: whether the request gave max_tokens; otherwise the answer takes what is left of the capacity.

    Raises:
        PromptTooLongError: they do not fit.
    """
    block = block_beside(params.mode, params.block.block_length)
    room = room_after(prompt, block=block, capacity=capacity, field=params.prompt.field)
    if params.max_tokens <= room:
        return params
    if params.choice.min_tokens > room:
        limit = f"must be at most {room} (capacity {capacity} - prompt {prompt} - block {block})"
        raise PromptTooLongError("min_tokens", limit, params.choice.min_tokens)
    if asked:
        limit = f"must be at most {room} (capacity {capacity} - prompt {prompt} - block {block})"
        raise PromptTooLongError("max_tokens", limit, params.max_tokens)
    return replace(params, max_tokens=room)
