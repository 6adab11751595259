"""Matcher: how far a text has come in its grammar, and what may come next. Knows no mode and no request.

The grammar library takes the text's tokens alone: what comes before the text, such as a thought, and the token that
ends it are kept apart here. A text is walked again and again, by each pass over a block and when it is committed. So
the library stands where it was asked last, and is moved once it is asked elsewhere; what is known is kept by place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llguidance import LLMatcher

from .closing import Ends, accepts, close, close_after
from .cursor import Cursor, dictated
from .foresight import NOTHING, Foreseen
from .lexicon import Bools, Lexicon
from .need import MOST
from .place import Ids, Place

MASKS_KEPT = 64
"""Places whose masks are kept: as many as the longest block has tokens. One takes an eighth of a byte for each id."""


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
        self._may_end = may_end
        self._lexicon, self._ends, self._begins_after = lexicon, tuple(ends), begins_after
        self._shortest = None if path is None else len(path)
        begin = Place(waits=begins_after is not None, path=None if path is None else tuple(path))
        self.cursor = Cursor(at, begin)
        self._places = [begin]
        self._foreseen = NOTHING

    @property
    def taken(self) -> int:
        """How many tokens were taken."""
        return len(self._places) - 1

    @property
    def waits(self) -> bool:
        """Whether the text is still to begin."""
        return self._places[-1].waits

    @property
    def accepting(self) -> bool:
        """Whether the text may end here."""
        place = self._places[-1]
        if place.accepting is None:
            place.accepting = not place.waits and (place.ended or self._may_end(self.cursor.at(self._places)))
        return place.accepting

    @property
    def free(self) -> bool:
        """Whether the text may end here, and nearly anything may follow, as in words that nothing bounds."""
        place = self._places[-1]
        if place.free is None:
            place.free = self.accepting and not self.complete and self._lexicon.is_nearly_all(self.allowed())
        return place.free

    @property
    def whole(self) -> bool:
        """Whether a text that is cut here is a whole one: it may end here, and is not free."""
        return self.accepting and not self.free

    @property
    def complete(self) -> bool:
        """Whether nothing may follow."""
        place = self._places[-1]
        if place.complete is None:
            place.complete = place.ended or (
                not place.waits and self.cursor.at(self._places).is_stopped() and self.accepting
            )
        return place.complete

    @property
    def forced(self) -> Ids:
        """The tokens that must come next, as the tokenizer would write them; usually none."""
        return self._places[-1].forced

    def fits(self, token: int) -> bool:
        """Whether `token` may come next."""
        place = self._places[-1]
        if place.last is not None and place.last.token == token:  # it was tried here before
            return True
        if token in self._ends:
            return self.accepting and not place.ended
        if place.waits:
            return True
        return self._may_enter(token) and self.cursor.enter(self._places, token)

    def fits_all(self, tokens: Sequence[int]) -> bool:
        """Whether `tokens`, none of which ends the text, may come next one after the other."""
        return not self.complete and self.cursor.at(self._places).validate_tokens([*tokens]) == len(tokens)

    def allowed(self) -> Bools:
        """Return (V,) which tokens may come next, which nobody may change; none if the text is complete without an end.

        Raises:
            RequestError: the grammar became too complex.
        """
        place = self._places[-1]
        ends = self._ends if self.accepting and not place.ended else ()
        if place.waits or self.complete:
            allowed = np.full(self._lexicon.size, place.waits)
            allowed[list(self._ends)] = bool(ends)
            return allowed
        if place.bits is None:
            place.bits = self._bits()
            self.cursor.check(self._places)
        return self._lexicon.unpack(place.bits, ends)

    def _bits(self) -> bytes:
        """Return the library's mask, with those along a draft if that was given."""
        at = self.cursor.at(self._places)
        if self._foreseen.words is None:
            self._foreseen = self._foreseen.made(at, self._lexicon, self._ends, self.taken)
        return self._foreseen.at(self.taken) or bytes(at.compute_bitmask())

    def look_ahead(self, draft: Sequence[int]) -> None:
        """Let the masks of the next place and of those along `draft` be made in one call, once one is asked for.

        They hold as long as what is taken is the draft; those after a token that does not fit are never asked for.
        """
        self._foreseen = Foreseen(self.taken, tuple(draft))

    def take(self, token: int) -> None:
        """Go on by `token`, which fits.

        Raises:
            RequestError: the grammar became too complex.
        """
        place = self._places[-1]
        if place.last is None or place.last.token != token:
            self._try(place, token)
        assert place.last is not None
        if not self._foreseen.goes_on(self.taken, token):
            self._foreseen = NOTHING
        self._places.append(place.last)
        if len(self._places) > MASKS_KEPT:
            self._places[-MASKS_KEPT].bits = None

    def back(self, count: int) -> None:
        """Take back the last `count` tokens."""
        if count:
            del self._places[-count:]
            self._foreseen = NOTHING

    def _try(self, place: Place, token: int) -> None:
        """Let what comes after `token`, which fits here, be known."""
        if place.waits:
            begins = token == self._begins_after
            place.last = place.begun(token, begins=begins)
            place.last.forced = dictated(self.cursor.at(self._places)) if begins else ()
        elif token in self._ends or self.complete:
            place.last = place.end(token)
        elif not self.cursor.enter(self._places, token):
            raise AssertionError(f"token {token} does not fit the grammar")

    def _may_enter(self, token: int) -> bool:
        """Whether the library may be asked for `token` here."""
        return not self.complete and token < self._lexicon.size and token != self._lexicon.end_id

    def settle(self, token: int, room: int) -> int:
        """Return `token`, which fits, or another one where after it the text could not end in time.

        Args:
            room: tokens that may still come, this one included.
        """
        place = self._places[-1]
        if place.waits:
            last = room == 1 + (self._shortest or 0)
            return self._begins_after if last and self._begins_after is not None else token
        if room > self._need or place.hopeless or token in self._ends or self.complete:
            return token
        if self._may_end is accepts and self.free:  # words are left as they are
            return token
        if place.settled is None:
            place.settled = {}
        if token not in place.settled:
            place.settled[token] = self._settled(place, token, room)
            place.last = None  # what comes after is known better now
        return place.settled[token][0]

    def leads_nowhere(self, token: int) -> bool:
        """Whether no way to end in time was found after `token`, which was settled here."""
        place = self._places[-1]
        return place.hopeless or any(one == (token, None) for one in (place.settled or {}).values())

    @property
    def is_stuck(self) -> bool:
        """Whether no way to end is found from here on, however many tokens may come."""
        return close(self.cursor.at(self._places), self._lexicon, max(MOST, self._need), ends=self._may_end) is None

    def _settled(self, place: Place, token: int, room: int) -> tuple[int, Ids | None]:
        """Return which token may come for `token`, and what would end the text after it, None if nothing may."""
        if place.path is not None and place.path[:1] == (token,):
            return token, place.path[1:]
        hint, at = place.hint if place.path is None else place.path, self.cursor.at(self._places)
        after = close_after(token, at, self._lexicon, room - 1, hint, ends=self._may_end)
        if after is not None:
            return token, after
        path = place.path
        if path is None:
            found = close(at, self._lexicon, room, thorough=True, ends=self._may_end)
            path = None if found is None else tuple(found)
        if path is None or len(path) > room:
            return token, None
        if path:
            return path[0], path[1:]
        return (self._ends[0], ()) if self._ends else (token, None)
