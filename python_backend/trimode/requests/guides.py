"""The guide of a request: from its fields to what its answer must match. Knows nothing of how a mode decodes."""

from __future__ import annotations

from ..api.params import GenerationParams
from ..decoding.guide import Guide
from ..grammar.compiled import Compiled
from ..grammar.source import Source
from .services import Services

END_THINK = "</think>"


def must_compile(params: GenerationParams, services: Services) -> bool:
    """Return whether a request has a grammar that is to be compiled first, which can take seconds."""
    source = source_of(params)
    return source is not None and services.grammars is not None and not services.grammars.knows(source)


def source_of(params: GenerationParams) -> Source | None:
    """Return what a request's answer must match; None where it is free."""
    guide = params.guide
    kind = guide.guided_decoding_guide_type
    return None if kind is None else Source(kind, guide.guided_decoding_guide, guide.disable_any_whitespace)


def guide_of(params: GenerationParams, services: Services) -> Guide | None:
    """Return a guide at the answer's beginning, after a thought if there is one; None where the answer is free.

    Raises:
        RequestError: the grammar is refused, or there is no tokenizer for it.
        EngineError: the process that tries grammars failed.
    """
    made, prompt = compiled_of(params, services), params.prompt
    if made is None:
        return None
    thinks = prompt.enable_thinking or params.max_thinking_tokens is not None
    if prompt.continue_final_message and prompt.messages is not None:
        thinks = thinks and END_THINK not in prompt.messages[-1]["content"]
    special = [
        token for token in params.end_ids if made.lexicon.is_special[token]
    ]  # others are text, and end it as such
    return made.matcher(special, params.end_think_token_id if thinks else None)


def compiled_of(params: GenerationParams, services: Services) -> Compiled | None:
    """Return the grammar of a request; None where its answer is free.

    Raises:
        RequestError: the grammar is refused, or there is no tokenizer for it.
        EngineError: the process that tries grammars failed.
    """
    source = source_of(params)
    if source is None:
        return None
    services.tokenizer_for("guided_decoding_guide_type", source.kind)
    assert services.grammars is not None
    return services.grammars.compile(source)
