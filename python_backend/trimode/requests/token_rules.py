"""The rules of a request: from its fields to what changes logits. Knows nothing of jobs or of how a mode decodes."""

from __future__ import annotations

from ..api.params import GenerationParams
from ..decoding.rules.bad_words import BadWords
from ..decoding.rules.base import LogitRule
from ..decoding.rules.tokens import Allowed, Bad, Bias, NoEarlyEnd
from .services import Services


def rules_of(params: GenerationParams, services: Services) -> tuple[LogitRule, ...]:
    """Return the rules in the order in which they are applied: what is forbidden stays so, whatever its bias.

    Raises:
        RequestError: bad_words are given, and there is no tokenizer for them.
    """
    choice = params.choice
    found: list[LogitRule] = []
    if choice.logit_bias:
        found.append(Bias(choice.logit_bias))
    if choice.allowed_token_ids:
        found.append(Allowed(choice.allowed_token_ids))
    if choice.bad_token_ids:
        found.append(Bad(choice.bad_token_ids))
    if choice.bad_words:
        tokenizer = services.tokenizer_for("bad_words", choice.bad_words)
        hidden = tokenizer.special_ids if params.returns.skip_special_tokens else ()
        found.append(BadWords(choice.bad_words, tokenizer.vocabulary, hidden, tokenizer.vocab_size))
    if choice.min_tokens and params.end_ids:
        found.append(NoEarlyEnd(choice.min_tokens, params.end_ids))
    return tuple(found)
