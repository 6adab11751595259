"""A request to revise a text: text and character spans in, the changed text and its edits out.

One job; which tokens are reconsidered and which changes stay is decided in decoding/modes/revise.py.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ..api.answer import Chunk
from ..api.params import GenerationParams
from ..decoding.guide import holds
from ..decoding.modes.revise import go_on
from ..decoding.revise_state import ReviseState
from ..decoding.sequence import SequenceState
from ..errors import RequestError, engine_failure
from ..logs.request_id import working_for
from ..scheduling.job import Job
from ..text.answer_text import AnswerText
from ..text.tokenizer import Tokenizer
from .guides import guide_of
from .request import Handle, Request
from .services import Services
from .spans import Original, apply_edits
from .token_rules import rules_of

logger = logging.getLogger(__name__)


def start(request: Request, services: Services) -> Handle:
    """Queue the request's only job; see registry.start."""
    params, tokenizer = request.params, services.tokenizer_for("text")
    original = Original.of(params, tokenizer, services.capacity, request.pictures)
    seq = sequence_of(params, original, services.mask_token_id, services.banned)
    seq.rules = rules_of(params, services)
    seq.guide = guide_of(params, services)
    seq.pictures = request.pictures.of_prompt(original.context)
    if seq.guide is not None and not holds(seq.guide, original.ids):
        limit = f"must match its {params.guide.guided_decoding_guide_type}, whitespace included"
        raise RequestError("text", limit, original.text)

    def take(chunk: Chunk) -> None:
        with working_for(request.sender.name):
            request.sink(answer(chunk, seq, original, tokenizer))

    job = Job(seq, AnswerText(None, (), at_once=True), services.post(take))
    return services.submit(job, request)


def sequence_of(
    params: GenerationParams, original: Original, mask_token_id: int, banned: tuple[int, ...]
) -> SequenceState:
    """Return the sequence that revises `original`; ids of `banned` are never put in and, where they are, left alone."""
    ids, context = np.array([*original.context, *original.ids], dtype=np.int64), len(original.context)
    allowed = np.array([*[False] * context, *(end > start for start, end in original.free)])
    work = ReviseState(
        ids=ids,
        allowed=allowed & ~np.isin(ids, [*banned, mask_token_id]),
        threshold=params.revise.revise_threshold,
        fraction=params.revise.revise_fraction,
        rounds=params.revise.revise_rounds,
        always=params.revise.accept == "always",
        banned=banned,
        # A model's turn ends with its end token and was trained with more of them up to the block's end.
        filler=params.end_id if original.context else mask_token_id,
        allowed_ids={context + at: ids for at, ids in original.only.items()},
    )
    seq = SequenceState(params, original.context, mask_token_id, revise=work)
    if not original.context:
        go_on(seq)  # there is nothing to prefill
    return seq


def answer(chunk: Chunk, seq: SequenceState, original: Original, tokenizer: Tokenizer) -> Chunk:
    """Return the last chunk of `seq` with the revised text and its edits."""
    chunk = replace(chunk, num_input_tokens=len(original.context) + len(original.ids))
    if chunk.error is not None:
        return chunk
    try:
        edits = original.edits(seq.tokens, tokenizer)
    except Exception as exc:  # the request must be answered all the same
        logger.exception("a revised text could not be put together")
        return replace(chunk, finish_reason=None, error=engine_failure("the text could not be put together", exc))
    return replace(chunk, text=apply_edits(original.text, edits), edits=edits)
