"""Log-probabilities of tokens, in the shapes that OpenAI and vLLM have for them.

The tokenizer says which bytes a token stands for; a token that is no whole character is shown with replacement
characters, and its bytes are exact.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....text.tokenizer import Tokenizer

LEAST = -9999.0
"""Stands for the log-probability of an impossible token, since JSON has no infinity. OpenAI's clients know it."""


@dataclass(frozen=True)
class Token:
    """One token: its id, the bytes it stands for and its log-probability, natural.

    Attributes:
        log_prob: None for the first token of a prompt.
        top: the likeliest tokens of its place, the likeliest first.
        hidden: whether it leaves nothing in the text.
    """

    number: int
    content: bytes
    log_prob: float | None
    top: tuple[Token, ...] = ()
    hidden: bool = False

    def text(self, *, as_id: bool) -> str:
        """Return how it is shown."""
        return f"token_id:{self.number}" if as_id else self.content.decode("utf-8", "replace")


def tokens_in(piece: Mapping[str, Any], of: str, tokenizer: Tokenizer, hidden: Collection[int] = ()) -> list[Token]:
    """Return the tokens of a piece of generate's answer, "output" for the answer's and "prompt" for the prompt's.

    Args:
        hidden: ids that leave nothing in the text.
    """
    ids, log_probs = listed(piece, f"{of}_ids"), listed(piece, f"{of}_log_probs")
    top_ids, top_values = listed(piece, f"{of}_top_ids"), listed(piece, f"{of}_top_log_probs")
    first = [_token(tokenizer, ids[0], None)] if len(ids) > len(log_probs) else []
    each = len(top_ids) // max(len(log_probs), 1)
    found = []
    for at, (number, log_prob) in enumerate(zip(ids[len(first) :], log_probs, strict=True)):
        part = slice(at * each, (at + 1) * each)
        top = tuple(
            # A token that is the chosen one too has the same value, so that clients may compare them.
            _token(tokenizer, one, log_prob if one == number else value)
            for one, value in zip(top_ids[part], top_values[part], strict=True)
        )
        found.append(replace(_token(tokenizer, number, log_prob), top=top))
    return [replace(token, hidden=token.number in hidden) for token in (*first, *found)]


def _token(tokenizer: Tokenizer, number: int, log_prob: float | None) -> Token:
    (content,) = tokenizer.vocabulary.of([number])
    return Token(number, content, None if log_prob is None else max(float(log_prob), LEAST))


def listed(piece: Mapping[str, Any], name: str) -> Sequence[Any]:
    """Return a list of a piece; Triton writes a list of one as its item."""
    found = piece.get(name, [])
    return found if isinstance(found, list) else [found]


def chat_logprobs(tokens: Sequence[Token], top: int, *, as_id: bool) -> dict[str, Any]:
    """Return `logprobs` of a chat's choice, with the `top` likeliest tokens of each place."""

    def entry(token: Token) -> dict[str, Any]:
        return {"token": token.text(as_id=as_id), "logprob": token.log_prob, "bytes": list(token.content)}

    content = [{**entry(token), "top_logprobs": [entry(one) for one in token.top[:top]]} for token in tokens]
    return {"content": content, "refusal": None}


def text_logprobs(tokens: Sequence[Token], top: int, start: int, *, as_id: bool) -> dict[str, Any]:
    """Return `logprobs` of a completion's choice.

    Args:
        top: how many of the likeliest tokens stand beside each; the token itself always does.
        start: where its text begins, in characters.
    """
    return {
        "tokens": [token.text(as_id=as_id) for token in tokens],
        "token_logprobs": [token.log_prob for token in tokens],
        "top_logprobs": [_by_text(token, top, as_id=as_id) for token in tokens],
        "text_offset": offsets(tokens, start),
    }


def _by_text(token: Token, top: int, *, as_id: bool) -> dict[str, float] | None:
    """Return log-probabilities by text; of tokens that look the same the likeliest counts."""
    if token.log_prob is None:
        return None
    found: dict[str, float] = {}
    for one in (*token.top[:top], token):
        name = one.text(as_id=as_id)
        found[name] = max(found.get(name, LEAST), one.log_prob or 0.0)
    return found


def offsets(tokens: Sequence[Token], start: int) -> list[int]:
    """Return, for each token, how many whole characters stand before it, counted from `start`."""
    found, content = [], b""
    for token in tokens:
        found.append(start + len(content.decode("utf-8", "ignore")))
        content += b"" if token.hidden else token.content
    return found


def prompt_logprobs(tokens: Sequence[Token], top: int) -> list[dict[str, Any] | None]:
    """Return vLLM's `prompt_logprobs`: for each token of the prompt but the first, it and the `top` likeliest."""
    return [None if token.log_prob is None else _by_id(token, top) for token in tokens]


def _by_id(token: Token, top: int) -> dict[str, Any]:
    ranks = {one.number: rank for rank, one in enumerate(token.top, start=1)}
    return {
        str(one.number): {
            "logprob": one.log_prob,
            "rank": ranks.get(one.number),
            "decoded_token": one.text(as_id=False),
        }
        for one in (*token.top[:top], token)
    }
