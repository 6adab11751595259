"""The guide of a request: from its fields to what its answer must match. Knows nothing of how a mode decodes."""

from __future__ import annotations

from ..api.params import GenerationParams
from ..decoding.guide import Guide
from ..grammar.source import Source
from .services import Services

END_THINK = "</think>"


def guide_of(params: GenerationParams, services: Services) -> Guide | None:
    """Return a guide at the answer's beginning, after a thought if there is one; None where the answer is free.

    Raises:
        RequestError: the grammar is refused, or there is no tokenizer for it.
        EngineError: the process that tries grammars failed.
    """
    kind, prompt = params.guide.guided_decoding_guide_type, params.prompt
    if kind is None:
        return None
    services.tokenizer_for("guided_decoding_guide_type", kind)
    assert services.grammars is not None
    made = services.grammars.compile(Source(kind, params.guide.guided_decoding_guide))
    ends = [token for token in (params.end_id, *params.choice.stop_token_ids) if token >= 0]
    thinks = prompt.enable_thinking or params.max_thinking_tokens is not None
    if prompt.continue_final_message and prompt.messages is not None:
        thinks = thinks and END_THINK not in prompt.messages[-1]["content"]
    special = [token for token in ends if made.lexicon.is_special[token]]  # others are text, and end it as such
    return made.matcher(special, params.end_think_token_id if thinks else None)
