"""Place: where a text is in its grammar, and what is known there. Knows no grammar library."""

from __future__ import annotations

from dataclasses import dataclass

Ids = tuple[int, ...]


@dataclass(eq=False, slots=True)
class Place:
    """Where a text is. What is known of it depends on the tokens before it alone, not on what was tried meanwhile.

    Attributes:
        token: the one that came last; -1 at the text's beginning.
        inside: tokens that the library has taken there.
        waits: the text is still to begin. ended: its end token was taken.
        forced: the tokens that must come next.
        path: tokens that would end it, if they are known.
        hint: what ended it before the last token, which may still do so.
        hopeless: no way to end in time was found.
        settled: of tokens that were settled here, which one may come, and what would end the text after that.
        last: the place after the token that was tried here last, and fitted.
        bits: the library's mask, once it was made.
        accepting, complete, free: what the matcher says of these, once it was asked.
    """

    token: int = -1
    inside: int = 0
    waits: bool = False
    ended: bool = False
    forced: Ids = ()
    path: Ids | None = None
    hint: Ids = ()
    hopeless: bool = False
    settled: dict[int, tuple[int, Ids | None]] | None = None
    last: Place | None = None
    bits: bytes | None = None
    accepting: bool | None = None
    complete: bool | None = None
    free: bool | None = None

    def after(self, token: int) -> Place:
        """Return the place after `token`, which the library takes; its `forced` is what is left of those here."""
        path, hopeless = self.path, self.hopeless
        if path is not None and path[:1] == (token,):
            path = path[1:]
        else:
            path = None
            for settled, rest in self.settled.values() if self.settled else ():
                if settled == token:
                    path, hopeless = rest, rest is None
                    break
        forced = self.forced[1:] if self.forced and self.forced[0] == token else ()
        hint = self.hint if self.path is None else self.path
        return Place(token, self.inside + 1, forced=forced, path=path, hint=hint, hopeless=hopeless)

    def begun(self, token: int, *, begins: bool) -> Place:
        """Return the place after `token`, which the library does not see: the text is still to begin, or `begins`."""
        return Place(token, 0, waits=not begins, path=self.path)

    def end(self, token: int) -> Place:
        """Return the place after `token`, which ends the text."""
        return Place(token, self.inside, ended=True, path=())
