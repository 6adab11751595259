"""BlockSnapshot: a block as a client may watch it: which tokens are committed, may still change, or are masked.

A snapshot is taken between two passes, where time counts; its text is made later, on another thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ..api.answer import Provisional, ProvisionalToken, TokenState
from ..api.fields import Mode
from ..decoding.sequence import SequenceState
from ..text.detokenizer import Detokenizer
from ..text.tokenizer import Tokenizer

PROB_DIGITS = 4
"""Digits of a probability on the wire; who watches sees no more."""
PLACEHOLDER = "\N{LIGHT SHADE}"
"""What stands in the text for a masked token."""


@dataclass(frozen=True)
class BlockSnapshot:
    """A block after a pass: where in the answer it starts, passes spent on it from 1, its tokens, None where masked.

    `probs` are the tokens' probabilities when they were chosen, None where that is not known. `special` says whether
    its text shows special tokens.
    """

    start: int
    step: int
    tokens: list[int | None]
    committed: int
    probs: list[float | None]
    special: bool = False

    @classmethod
    def of(cls, seq: SequenceState) -> BlockSnapshot:
        """Copy the block of `seq`, up to its end token or the request's limit."""
        block = seq.current
        start = block.start - len(seq.prompt)
        tokens: list[int | None] = []
        for token, masked in zip(block.tokens.tolist(), block.open.tolist(), strict=True):
            if start + len(tokens) == seq.params.max_tokens:
                break
            tokens.append(None if masked else token)
            if seq.params.is_end(token):
                break
        values = np.exp(block.log_probs[: len(tokens)], dtype=np.float64).round(PROB_DIGITS).tolist()
        probs = [
            None if token is None or np.isnan(value) else value for token, value in zip(tokens, values, strict=True)
        ]
        if seq.mode is Mode.SELF_SPECULATION:
            probs[0] = None  # what verified it is no part of the draft
        special = not seq.params.returns.skip_special_tokens
        step = max(1, block.step)  # a draft that came whole, out of a verification, has had that pass
        return cls(start, step, tokens, len(seq.tokens) - start, probs, special)

    def shown(self, tokenizer: Tokenizer | None) -> Provisional:
        """Return it with every token's text; a character that is spread over tokens is the text of its last one."""
        shown: list[ProvisionalToken] = []
        special = self.special
        for masked, run in groupby(self.tokens, key=lambda token: token is None):
            tokens = list(run)
            texts = [PLACEHOLDER] * len(tokens) if masked else _texts(tokens, tokenizer, special=special)
            for token, text in zip(tokens, texts, strict=True):
                place = len(shown)
                shown.append(ProvisionalToken(token, text, self._state(place, token), self.probs[place]))
        return Provisional(self.start, self.step, "".join(token.text for token in shown), tuple(shown))

    def _state(self, offset: int, token: int | None) -> TokenState:
        if token is None:
            return "masked"
        return "committed" if offset < self.committed else "provisional"


def _texts(ids: list[int | None], tokenizer: Tokenizer | None, *, special: bool) -> list[str]:
    """Return the text of each of `ids`, which follow each other; what is not a whole character at the end is U+FFFD."""
    if tokenizer is None:
        return [""] * len(ids)
    detokenizer = Detokenizer(tokenizer, special=special)
    texts = [detokenizer.push([token]) for token in ids if token is not None]
    texts[-1] += detokenizer.finish()
    return texts
