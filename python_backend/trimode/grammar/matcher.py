"""Matcher: how far a text has come in its grammar, and what may come next. Knows no mode and no request.

The grammar library takes the text's tokens alone: what comes before the text, such as a thought, and the token that
ends it are kept apart here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from llguidance import LLMatcher

from .closing import Ends, accepts, close, close_after
from .foresight import NOTHING, foresee
from .heap import Use
from .lexicon import Bools, Lexicon
from .need import MOST
from .refusal import bad_grammar

MASKS_KEPT = 64
"""Places whose masks are kept: as many as the longest block has tokens. One takes an eighth of a byte for each id."""


@dataclass(eq=False)
class _Place:
    """Where a text is. What is known of it depends on the tokens before it alone, not on what was tried meanwhile.

    Attributes:
        inside: tokens that the library has taken.
        waits: the text is still to begin. ended: its end token was taken.
        forced: the tokens that must come next.
        path: tokens that would end it, if they are known.
        hint: what ended it before the last token, which may still do so.
        hopeless: no way to end in time was found.
        settled: of tokens that were settled here, which one may come, and what would end the text after that.
        last: the token that was taken here last, and the place after it.
        bits: the library's mask, once it was made.
        free: what `Matcher.free` says, once it was asked.
    """

    inside: int
    waits: bool
    ended: bool = False
    forced: tuple[int, ...] = ()
    path: tuple[int, ...] | None = None
    hint: tuple[int, ...] = ()
    hopeless: bool = False
    settled: dict[int, tuple[int, tuple[int, ...] | None]] = field(default_factory=dict)
    last: tuple[int, _Place] | None = None
    bits: bytes | None = None
    free: bool | None = None

    def after(self, token: int) -> tuple[tuple[int, ...] | None, bool]:
        """Return what would end the text after `token`, if that is known, and whether there is no hope of it."""
        if self.path is not None and self.path[:1] == (token,):
            return self.path[1:], self.hopeless
        for settled, path in self.settled.values():
            if settled == token:
                return path, path is None
        return None, self.hopeless

    def next(self, token: int, at: LLMatcher, begins_after: int | None, *, inside: bool) -> _Place:
        """Return the place after `token`, which the library has taken if it is `inside` the text."""
        if self.waits:
            begins = token == begins_after
            return _Place(0, not begins, forced=_dictated(at) if begins else (), path=self.path)
        if not inside:
            return _Place(self.inside, waits=False, ended=True, path=())
        forced = self.forced[1:] if self.forced[:1] == (token,) else ()
        path, hopeless = self.after(token)
        return _Place(
            inside=self.inside + 1,
            waits=False,
            forced=forced or _dictated(at),
            path=path,
            hint=self.hint if self.path is None else self.path,
            hopeless=hopeless,
        )


class Matcher:
    """One text in a grammar; tokens are taken one by one and can be taken back. Not thread-safe."""

    def __init__(
        self,
        at: LLMatcher,
        lexicon: Lexicon,
        path: Sequence[int] | None,
        *,
        ends: Sequence[int] = (),
        begins_after: int | None = None,
        may_end: Ends = accepts,
        need: int = MOST,
    ) -> None:
        """Start at the text's beginning, or where `at` stands.

        Args:
            at: the library's matcher, which this one moves.
            path: tokens that make the shortest text known; None if none is.
            ends: ids that end a text which matches; none where nothing but its own end does.
            begins_after: the token after which the text begins, such as the end of a thought.
            may_end: whether the text may end where the library's matcher stands.
            need: most tokens that it needs to be ended: with more of them left nobody looks at how it could be.
        """
        self._need = need
        self.use = Use()
        """Counts what this text takes."""
        self._may_end = may_end
        self._at, self._lexicon, self._ends, self._begins_after = at, lexicon, tuple(ends), begins_after
        self._shortest = None if path is None else len(path)
        known = None if path is None else tuple(path)
        self._place = _Place(0, begins_after is not None, path=known)
        if not self._place.waits:
            self._place.forced = _dictated(at)
        self._history: list[_Place] = []
        self._foreseen = NOTHING

    @property
    def taken(self) -> int:
        """How many tokens were taken."""
        return len(self._history)

    @property
    def waits(self) -> bool:
        """Whether the text is still to begin."""
        return self._place.waits

    @property
    def accepting(self) -> bool:
        """Whether the text may end here."""
        return not self._place.waits and (self._place.ended or self._may_end(self._at))

    @property
    def free(self) -> bool:
        """Whether the text may end here, and nearly anything may follow, as in words that nothing bounds."""
        if self._place.free is None:
            self._place.free = self.accepting and not self.complete and self._lexicon.is_nearly_all(self.allowed())
        return self._place.free

    @property
    def whole(self) -> bool:
        """Whether a text that is cut here is a whole one: it may end here, and is not free."""
        return self.accepting and not self.free

    @property
    def complete(self) -> bool:
        """Whether nothing may follow."""
        return self._place.ended or (not self._place.waits and self._at.is_stopped() and self.accepting)

    @property
    def forced(self) -> tuple[int, ...]:
        """The tokens that must come next, as the tokenizer would write them; usually none."""
        return self._place.forced

    def fits(self, token: int) -> bool:
        """Whether `token` may come next."""
        place = self._place
        if place.last is not None and place.last[0] == token:  # it was taken here before
            return True
        if token in self._ends:
            return self.accepting and not place.ended
        if place.waits:
            return True
        if self.complete or token >= self._lexicon.size or token == self._lexicon.end_id:
            return False
        return bool(self._at.validate_tokens([token]) == 1)

    def fits_all(self, tokens: Sequence[int]) -> bool:
        """Whether `tokens`, none of which ends the text, may come next one after the other."""
        return not self.complete and self._at.validate_tokens([*tokens]) == len(tokens)

    def allowed(self) -> Bools:
        """Return (V,) which tokens may come next; nowhere true where the text is complete and has no end token.

        Raises:
            RequestError: the grammar became too complex.
        """
        foreseen = self._foreseen.at(len(self._history), self._lexicon, self._ends)
        return self._mask() if foreseen is None else foreseen

    def _mask(self) -> Bools:
        if self._place.waits:
            allowed = np.ones(self._lexicon.size, dtype=np.bool_)
            allowed[list(self._ends)] = False
            return allowed
        if self.complete:
            allowed = np.zeros(self._lexicon.size, dtype=np.bool_)
        else:
            if self._place.bits is None:
                self._place.bits = self._at.compute_bitmask()
                self._check()
            allowed = self._lexicon.unpack(self._place.bits)
        if self._ends and not self._place.ended:
            allowed[list(self._ends)] = self.accepting
        return allowed

    def look_ahead(self, draft: Sequence[int]) -> None:
        """Get the masks of the next place and of those along `draft` in one call of the library.

        They hold as long as what is taken is the draft; those after a token that does not fit are never asked for.
        """
        if self._place.waits or self.complete or self._place.bits is not None:
            return  # where one mask was made, a draft was chosen by masks, which are there still
        self._foreseen = foresee(self._at, self._lexicon, self._ends, draft, first=len(self._history))
        self._check()

    def take(self, token: int) -> None:
        """Go on by `token`, which fits.

        Raises:
            RequestError: the grammar became too complex.
        """
        place = self._place
        self._history.append(place)
        if len(self._history) > MASKS_KEPT:
            self._history[-MASKS_KEPT].bits = None
        if not self._foreseen.goes_on(len(self._history) - 1, token):
            self._foreseen = NOTHING
        known = place.last is not None and place.last[0] == token
        inside = not (place.waits or token in self._ends or self.complete)
        if inside and not self._at.consume_token(token):
            self._check()
            raise AssertionError(f"token {token} does not fit the grammar")
        if not known:
            self.use.tokens += inside
            place.last = token, place.next(token, self._at, self._begins_after, inside=inside)
            self._check()
        assert place.last is not None
        self._place = place.last[1]

    def back(self, count: int) -> None:
        """Take back the last `count` tokens."""
        if not count:
            return
        now, self._place = self._place, self._history[-count]
        del self._history[-count:]
        self._foreseen = NOTHING
        if now.inside > self._place.inside:
            self._at.rollback(now.inside - self._place.inside)

    def settle(self, token: int, room: int) -> int:
        """Return `token`, which fits, or another one where after it the text could not end in time.

        Args:
            room: tokens that may still come, this one included.
        """
        place = self._place
        if place.waits:
            last = room == 1 + (self._shortest or 0)
            return self._begins_after if last and self._begins_after is not None else token
        if room > self._need or place.hopeless or token in self._ends or self.complete:
            return token
        if self._may_end is accepts and self.free:  # words are left as they are
            return token
        if token not in place.settled:
            place.settled[token] = self._settled(place, token, room)
            place.last = None  # what comes after is known better now
        return place.settled[token][0]

    def leads_nowhere(self, token: int) -> bool:
        """Whether no way to end in time was found after `token`, which was settled here."""
        return self._place.hopeless or any(one == (token, None) for one in self._place.settled.values())

    @property
    def is_stuck(self) -> bool:
        """Whether no way to end is found from here on, however many tokens may come."""
        return close(self._at, self._lexicon, max(MOST, self._need), ends=self._may_end) is None

    def _settled(self, place: _Place, token: int, room: int) -> tuple[int, tuple[int, ...] | None]:
        """Return which token may come for `token`, and what would end the text after it, None if nothing may."""
        if place.path is not None and place.path[:1] == (token,):
            return token, place.path[1:]
        hint = place.hint if place.path is None else place.path
        after = close_after(token, self._at, self._lexicon, room - 1, hint, ends=self._may_end)
        if after is not None:
            return token, after
        path = place.path
        if path is None:
            found = close(self._at, self._lexicon, room, thorough=True, ends=self._may_end)
            path = None if found is None else tuple(found)
        if path is None or len(path) > room:
            return token, None
        if path:
            return path[0], path[1:]
        return (self._ends[0], ()) if self._ends else (token, None)

    def _check(self) -> None:
        if self._at.is_error():
            raise bad_grammar("must stay simple enough to be followed", f"an answer of {self.taken} tokens")


def _dictated(at: LLMatcher) -> tuple[int, ...]:
    """Return the tokens that must come next; that there are none is found in half of the time that tokens take."""
    return tuple(at.compute_ff_tokens()) if at.compute_ff_bytes() else ()
