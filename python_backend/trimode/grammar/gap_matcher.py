"""GapMatcher: a text in a grammar that fills a gap, from what of the left side is written again to the right side.

The tokens of a gap may begin with the end of its left side, which was taken back, and go on into its right side. A text
that the right side follows as it is has ended there: what comes after is the right side once more. Knows no mode and no
request.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from llguidance import LLMatcher

from .closing import Ends
from .lexicon import Bools, Lexicon
from .matcher import Matcher


class _Place(NamedTuple):
    """Where the tokens of a gap are.

    Attributes:
        head: what of the left side is still to be written.
        inside: tokens that the text's matcher has taken.
        text: whether the text may go on here; otherwise only the right side does.
        tail: bytes of the right side that came since the text could end, None if it could not.
    """

    head: bytes
    inside: int = 0
    text: bool = True
    tail: int | None = None


class GapMatcher:
    """One filling on its way; tokens are taken one by one and can be taken back. Not thread-safe."""

    waits = False

    def __init__(self, text: Matcher, lexicon: Lexicon, head: bytes, after: bytes) -> None:
        """Start at the gap's beginning.

        Args:
            text: stands where the gap's own text begins; this one moves it.
            head: the end of the left side with which the tokens begin.
            after: what follows the gap, as far as it matters.
        """
        self._text, self._lexicon, self._after = text, lexicon, after
        self._place = _Place(head, text.taken)
        self._history: list[_Place] = []

    @property
    def taken(self) -> int:
        """How many tokens were taken."""
        return len(self._history)

    @property
    def accepting(self) -> bool:
        """Whether the gap may end here."""
        place = self._place
        return place.tail is not None or (place.text and not place.head and self._text.accepting)

    @property
    def whole(self) -> bool:
        """Whether the gap is whole where it is cut here: what follows it may come."""
        return self.accepting

    @property
    def complete(self) -> bool:
        """Whether nothing of the gap may follow."""
        return not self._place.text or (not self._place.head and self._text.complete)

    @property
    def forced(self) -> tuple[int, ...]:
        """The tokens that must come next; none where the gap may end, and none that could reach beyond its end."""
        if self._place.head or self.accepting:
            return ()
        forced = self._text.forced
        pieces = [self._lexicon.pieces[token] for token in forced]
        whole, after = b"".join(pieces), self._after
        ends = (at for at in range(1, len(whole)) if after and whole[at : at + len(after)] == after[: len(whole) - at])
        end = next(ends, len(whole))
        return tuple(token for token, reach in zip(forced, accumulate(map(len, pieces)), strict=True) if reach <= end)

    def fits(self, token: int) -> bool:
        """Whether `token` may come next."""
        return self._step(token) is not None

    def allowed(self) -> Bools:
        """Return (V,) which tokens may come next.

        Raises:
            RequestError: the grammar became too complex.
        """
        place = self._place
        if place.head:
            return self._allowed_in_head(place.head)
        size = self._lexicon.size
        allowed = self._text.allowed().copy() if place.text else np.zeros(size, dtype=np.bool_)
        for offset in self._offsets():
            allowed[self._lexicon.beginnings(self._after[offset:])] = True
        return allowed

    def look_ahead(self, draft: Sequence[int]) -> None:
        """Let the masks along `draft` be made in one call, where it is the text's own."""
        if self._place.text and not self._place.head:
            self._text.look_ahead(draft)

    def take(self, token: int) -> None:
        """Go on by `token`, which fits.

        Raises:
            RequestError: the grammar became too complex.
        """
        step = self._step(token)
        assert step is not None
        place, taken = step
        for one in taken:
            self._text.take(one)
        text = place.text and not (place.tail == len(self._after) and self._text.is_stuck)
        self._history.append(self._place)
        self._place = place._replace(inside=self._text.taken, text=text)

    def back(self, count: int) -> None:
        """Take back the last `count` tokens."""
        if count:
            self._place = self._history[-count]
            del self._history[-count:]
            self._text.back(self._text.taken - self._place.inside)

    def settle(self, token: int, room: int) -> int:
        """Return `token`, which fits, or another one where after it the gap could not end within `room` tokens."""
        step = self._step(token)
        if self._place.head or step is None or step[0].tail is not None or not step[0].text:
            return token
        settled = self._text.settle(token, room)
        if self.accepting and self._text.leads_nowhere(settled):  # so it ends here
            rest = self._after[self._offsets()[0] :]
            return next(reversed(self._lexicon.beginnings(rest)), settled)
        return settled

    def _step(self, token: int) -> tuple[_Place, list[int]] | None:
        """Return the place after `token` and what its text takes of it; None if it does not fit."""
        place, piece = self._place, self._lexicon.pieces[token] if token < self._lexicon.size else b""
        if not piece:
            return None
        if not place.head:
            text, tail = place.text and self._text.fits(token), self._tail(piece)
            known = text or tail is not None
            return (_Place(b"", text=text, tail=tail), [token] if text else []) if known else None
        if place.head.startswith(piece):
            return _Place(place.head[len(piece) :]), []
        if not piece.startswith(place.head):
            return None
        rest = self._lexicon.spell(piece[len(place.head) :])
        return (_Place(b""), rest) if self._text.fits_all(rest) else None

    def _tail(self, piece: bytes) -> int | None:
        """Return how much of the right side has come after `piece`, None if the text could not end before it."""
        for offset in self._offsets():
            if self._after.startswith(piece, offset):
                return offset + len(piece)
        return None

    def _offsets(self) -> list[int]:
        """Return from where on the right side may be written here."""
        place = self._place
        begun = [] if place.tail is None else [place.tail]
        return [*begun, *([0] if place.text and self._text.accepting else [])]

    def _allowed_in_head(self, head: bytes) -> Bools:
        """Return (V,) the tokens that are a part of `head`, and those that go on after it with what fits."""
        lexicon = self._lexicon
        allowed = np.zeros(lexicon.size, dtype=np.bool_)
        allowed[lexicon.beginnings(head)] = True
        fitting = self._text.allowed()
        first = set(lexicon.first_byte[fitting].tolist())
        for number in np.flatnonzero(lexicon.first_byte == head[0]).tolist():
            piece = lexicon.pieces[number]
            if len(piece) > len(head) and piece.startswith(head) and piece[len(head)] in first:
                rest = lexicon.spell(piece[len(head) :])
                allowed[number] = fitting[rest[0]] if len(rest) == 1 else self._text.fits_all(rest)
        return allowed


def followed_by(right: Sequence[int], *, closed: bool) -> Ends:
    """Return whether the tokens `right` may follow where a matcher stands; `closed` if the text must match then."""

    def ends(at: LLMatcher) -> bool:
        done = at.try_consume_tokens([*right]) if right else 0
        fits = done == len(right) and (not closed or bool(at.is_accepting()))
        at.rollback(done)
        return fits

    return ends
