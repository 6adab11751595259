"""BlockView: from the snapshots of one answer to what its client sees of them. The sender's thread makes it.

From pass to pass most of a block stays as it was, so what was made of a token is kept for the next pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..api.answer import Chunk, Provisional, ProvisionalToken, TokenState
from ..api.params import GenerationParams
from .outbox import Sink
from .snapshot import BlockSnapshot
from .token_texts import TokenTexts

PROB_DIGITS = 4
"""Digits of a probability on the wire; who watches sees no more."""

Place = tuple[int | None, str, TokenState, float | None]
"""A token, None where masked, its text, what it is, and its log-probability, None where that is not known."""


class BlockView:
    """The blocks of one answer, as its client sees them."""

    def __init__(self, texts: TokenTexts, params: GenerationParams) -> None:
        """Take the texts of tokens, and the request that says where an answer ends."""
        self._texts = texts
        self._special = not params.returns.skip_special_tokens
        self._most, self._ends = params.max_tokens, frozenset(params.end_ids)
        self._start = -1
        self._made: dict[Place, ProvisionalToken] = {}  # of the block that starts there

    def before(self, sink: Sink, passes: Sequence[BlockSnapshot]) -> Sink:
        """Return a sink that adds what `passes` left to a chunk before it hands it to `sink`."""

        def add(chunk: Chunk) -> None:
            chunk.passes = self.shown(passes, chunk.text)
            sink(chunk)

        return add

    def shown(self, passes: Sequence[BlockSnapshot], text: str) -> tuple[Provisional, ...]:
        """Return the blocks of passes that go with one response, in order; `text` is the response's."""
        shown, said = [], 0
        for snapshot in passes:
            shown.append(self._block(snapshot, text[said : snapshot.said]))
            said = snapshot.said
        return tuple(shown)

    def _block(self, snapshot: BlockSnapshot, committed: str) -> Provisional:
        """Return a block up to its end token or the answer's limit."""
        if snapshot.start != self._start:
            self._start, self._made = snapshot.start, {}
        pairs = zip(snapshot.tokens.tolist(), snapshot.open.tolist(), strict=True)
        ids: list[int | None] = [None if masked else token for token, masked in pairs][: self._most - snapshot.start]
        if not self._ends.isdisjoint(ids):
            ids = ids[: 1 + next(at for at, token in enumerate(ids) if token in self._ends)]
        texts = self._texts.of(ids, special=self._special)
        log_probs = [None if math.isnan(one) else one for one in snapshot.log_probs.tolist()]
        own = snapshot.committed
        states: list[TokenState] = [
            "masked" if token is None else "committed" if at < own else "provisional" for at, token in enumerate(ids)
        ]
        made, tokens = self._made, list[ProvisionalToken]()
        for place in zip(ids, texts, states, log_probs, strict=False):  # the block goes on behind the answer's end
            if (token := made.get(place)) is None:
                token = made[place] = _token(*place)
            tokens.append(token)
        return Provisional(snapshot.start, snapshot.step, "".join(texts), tuple(tokens), committed)


def _token(number: int | None, text: str, state: TokenState, log_prob: float | None) -> ProvisionalToken:
    prob = None if number is None or log_prob is None else round(math.exp(log_prob), PROB_DIGITS)
    return ProvisionalToken(number, text, state, prob)
