"""Cursor: the library's matcher, which stands at one place of a text and is moved to where something is asked."""

from __future__ import annotations

from collections.abc import Sequence

from llguidance import LLMatcher

from .heap import Use
from .place import Ids, Place
from .refusal import bad_grammar


class Cursor:
    """Where the library stands in one text. Not thread-safe."""

    def __init__(self, at: LLMatcher, begin: Place) -> None:
        """Start where `at` stands, which is `begin`; if the text has begun there, its `forced` is found."""
        self.use = Use()
        """Counts the tokens that are taken."""
        self._at = at
        self._stands = [begin]
        """The places that lead to where the library stands."""
        if not begin.waits:
            begin.forced = dictated(at)

    def at(self, places: Sequence[Place]) -> LLMatcher:
        """Return the library's matcher, moved to the last of `places`, those of a text from its beginning on.

        Raises:
            RequestError: the grammar became too complex.
        """
        stands = self._stands
        if stands[-1] is not places[-1]:
            common = min(len(stands), len(places))
            while stands[common - 1] is not places[common - 1]:
                common -= 1
            inside = places[common - 1].inside
            self._at.rollback(stands[-1].inside - inside)
            stands[common:] = places[common:]
            for place in places[common:]:
                if place.inside > inside:
                    self._at.consume_token(place.token)
                    inside = place.inside
            self.check(places)
        return self._at

    def enter(self, places: Sequence[Place], token: int) -> bool:
        """Let the library take `token` at the last of `places`, which then knows what comes after; return if it fits.

        Raises:
            RequestError: the grammar became too complex.
        """
        fits = self.at(places).try_consume_tokens([token]) == 1
        if fits:
            after = places[-1].last = places[-1].after(token)
            self._stands.append(after)
            self.use.tokens += 1
            if not after.forced:
                after.forced = dictated(self._at)
        self.check(places)
        return fits

    def check(self, places: Sequence[Place]) -> None:
        """Raise RequestError if the grammar became too complex for the text that `places` are of."""
        if self._at.is_error():
            raise bad_grammar("must stay simple enough to be followed", f"an answer of {len(places) - 1} tokens")


def dictated(at: LLMatcher) -> Ids:
    """Return the tokens that must come next; that there are none is found in half of the time that tokens take."""
    return tuple(at.compute_ff_tokens()) if at.compute_ff_bytes() else ()
