"""Log-probabilities of an answer's tokens, in the two shapes that OpenAI has for them.

The tokenizer says which bytes a token stands for; a token that is no whole character is shown with replacement
characters, and its bytes are exact.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ....text.tokenizer import Tokenizer

LEAST = -9999.0
"""Stands for the log-probability of an impossible token, since JSON has no infinity. OpenAI's clients know it."""


@dataclass(frozen=True)
class Token:
    """One token: its id, the bytes it stands for and its log-probability, natural."""

    number: int
    content: bytes
    log_prob: float

    def text(self, *, as_id: bool) -> str:
        """Return how it is shown."""
        return f"token_id:{self.number}" if as_id else self.content.decode("utf-8", "replace")


def tokens_of(
    tokenizer: Tokenizer, ids: Sequence[int], log_probs: Sequence[float], left_out: Collection[int]
) -> list[Token]:
    """Return the tokens of a piece, but for those that are no part of its text, such as the end token."""
    contents = tokenizer.vocabulary.of(ids)
    return [
        Token(number, content, max(float(log_prob), LEAST))
        for number, content, log_prob in zip(ids, contents, log_probs, strict=True)
        if number not in left_out
    ]


def chat_logprobs(tokens: Sequence[Token], top: int, *, as_id: bool) -> dict[str, Any]:
    """Return `logprobs` of a chat's choice; with `top`, the chosen token is the likeliest one."""
    content = []
    for token in tokens:
        entry = {"token": token.text(as_id=as_id), "logprob": token.log_prob, "bytes": list(token.content)}
        content.append({**entry, "top_logprobs": [dict(entry)] if top else []})
    return {"content": content, "refusal": None}


def text_logprobs(tokens: Sequence[Token], start: int, *, as_id: bool) -> dict[str, Any]:
    """Return `logprobs` of a completion's choice; `start` is where its text begins, in characters."""
    names = [token.text(as_id=as_id) for token in tokens]
    return {
        "tokens": names,
        "token_logprobs": [token.log_prob for token in tokens],
        "top_logprobs": [{name: token.log_prob} for name, token in zip(names, tokens, strict=True)],
        "text_offset": offsets(tokens, start),
    }


def offsets(tokens: Sequence[Token], start: int) -> list[int]:
    """Return, for each token, how many whole characters stand before it, counted from `start`."""
    found, content = [], b""
    for token in tokens:
        found.append(start + len(content.decode("utf-8", "ignore")))
        content += token.content
    return found
