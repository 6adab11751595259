"""FreeDrafts: the free drafts of one request: where they come from, how long they are, and how often they were right.

Only drafts come from here: what is committed is what a causal pass chose. What a draft was worth is counted for those
that no pass verified, too, since the tokens that came instead say it. Knows nothing of passes or of how a mode is
chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ...api.counters import FreeDraft
from .prediction import Prediction
from .prompt_lookup import PromptLookup

Ints = npt.NDArray[np.int64]

FIRST_TOKENS, LEAST_TOKENS = 16, 4
"""Tokens of a verification at first, and at least; the token before the draft is one of them."""
FIRST_CHANCE: dict[FreeDraft, tuple[float, ...]] = {
    "prediction": (0.5, 0.8, 0.95, 0.95, 0.95),
    "prompt_lookup": (0.0, 0.0, 0.4, 0.6, 0.8),
}
"""Chance that a drafted token is right while nothing is known, by the tokens that agree before it."""
FIRST_CHANCE_WEIGHT = 2.0
"""Tokens that this chance counts for."""
FADING = 0.95
"""Factor on the older counts with each draft: one part of a text may say little about the next."""


class Offer(NamedTuple):
    """A draft that could be verified next: its source, the tokens that agree before it, and the draft (n,)."""

    kind: FreeDraft
    agreed: int
    tokens: Ints


class Source(Protocol):
    """Where drafts come from; see prediction.py."""

    kind: FreeDraft

    def follow(self, token: int, length: int) -> None:
        """Go on by a committed token."""
        ...

    def next(self, text: Ints, count: int) -> tuple[int, Ints]:
        """Return how many tokens agree before a draft, and the draft."""
        ...


@dataclass
class _Tally:
    """Drafted tokens that were judged, those before the first wrong one and that one, and how many were right."""

    trials: float = 0.0
    hits: float = 0.0

    def add(self, trials: int, hits: int) -> None:
        self.trials, self.hits = FADING * self.trials + trials, FADING * self.hits + hits


class FreeDrafts:
    """The free drafts of one request; of its sources the first that has a draft counts.

    Attributes:
        limit: tokens of the next verification at most, as who chooses says; below 2 there is none.
        planned: the source of the draft that the next pass verifies, None while it verifies none.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        longest: int,
        prediction: Sequence[int] = (),
        prompt_lookup: bool = False,
    ) -> None:
        """Begin.

        Args:
            max_tokens: of the answer.
            longest: tokens of the longest verification.
            prediction: what the caller expects as the answer; empty for nothing.
            prompt_lookup: whether prompt and answer are searched.
        """
        self._text: Ints = np.empty(len(prompt) + max_tokens, dtype=np.int64)
        self._text[: len(prompt)] = prompt
        self._begin, self._length = len(prompt), len(prompt)
        self._longest = self.limit = longest
        self._sources: list[Source] = [Prediction(prediction)] if len(prediction) else []
        self._sources += [PromptLookup()] if prompt_lookup else []
        self._lengths = {source.kind: min(FIRST_TOKENS, longest) for source in self._sources}
        self._tallies: dict[tuple[FreeDraft, int], _Tally] = {}
        self._offer: Offer | None = None
        self._offered = False
        self.planned: FreeDraft | None = None
        self._drafted = 0

    def offer(self, answer: Sequence[int]) -> Offer | None:
        """Return the draft that could follow `answer`, all that is committed, as long as it may be now; None for none.

        It is looked for once for the same answer.
        """
        self._follow(answer)
        if not self._offered:
            self._offered, self._offer = True, self._find()
        return self._offer

    def draft(self, answer: Sequence[int], most: int) -> Ints:
        """Return (n,) the draft that the next pass verifies after `answer`, at most `most` tokens; it may be empty."""
        offer = self.offer(answer)
        count = min(most, self.limit - 1)
        if offer is None or count < 1:
            return self._text[:0]
        return offer.tokens[:count]

    def plan(self, drafted: int) -> None:
        """Record that the next pass verifies so many tokens of the offer."""
        assert self._offer is not None
        self.planned, self._drafted = self._offer.kind, drafted

    def chance(self, offer: Offer) -> float:
        """Return how likely a token of a draft such as this is right, if those before it are."""
        tally = self._tallies.get((offer.kind, offer.agreed), _Tally())
        first = FIRST_CHANCE[offer.kind][offer.agreed]
        return (tally.hits + FIRST_CHANCE_WEIGHT * first) / (tally.trials + FIRST_CHANCE_WEIGHT)

    def _find(self) -> Offer | None:
        for source in self._sources:
            text = self._text[self._begin if source.kind == Prediction.kind else 0 : self._length]
            agreed, tokens = source.next(text, self._lengths[source.kind] - 1)
            if len(tokens):
                return Offer(source.kind, agreed, tokens)
        return None

    def _follow(self, answer: Sequence[int]) -> None:
        """Take in what was committed since the last time."""
        known = self._length - self._begin
        if len(answer) == known:
            return
        new = np.asarray(answer[known:], dtype=np.int64)
        self._text[self._length : self._length + len(new)] = new
        self._length += len(new)
        if self._offer is not None:
            self._judge(self._offer, new)
        for at, token in enumerate(new.tolist()):
            for source in self._sources:
                source.follow(token, known + at + 1)
        self._offer, self._offered, self.planned, self._drafted = None, False, None, 0

    def _judge(self, offer: Offer, came: Ints) -> None:
        """Count what a draft was worth by what `came` in its place; a verified one doubles or halves the next."""
        compared = min(len(came), len(offer.tokens))
        agree = offer.tokens[:compared] == came[:compared]
        right = compared if agree.all() else int(agree.argmin())
        tally = self._tallies.setdefault((offer.kind, offer.agreed), _Tally())
        tally.add(min(right + 1, compared), right)
        if self._drafted:
            length = self._lengths[offer.kind]
            if right >= self._drafted:
                length *= 2
            elif 2 * right < self._drafted:
                length //= 2
            self._lengths[offer.kind] = min(max(length, LEAST_TOKENS), self._longest)
