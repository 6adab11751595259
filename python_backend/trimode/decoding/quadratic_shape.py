"""QuadraticShape: how many masks follow each token of a draft in the pass that verifies it and makes the next one.

A group of masks drafts what follows if the verified run ends at its token. A shape leaves groups out that are seldom
reached, or makes them smaller; that changes the drafts and never the text. Pure; knows nothing of costs or sequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache


@dataclass(frozen=True)
class QuadraticShape:
    """The masks behind each token of a draft of up to L tokens.

    The run ends at the last token of a draft if all of it is right, whatever its length, and at another one if the next
    is wrong: the first is much likelier where drafts are good, so it has masks of its own.

    Attributes:
        inner: (L - 1,), masks behind token j where more of the draft follows.
        last: (L,), masks behind token j where it is the last one.
    """

    inner: tuple[int, ...]
    last: tuple[int, ...]

    @classmethod
    @lru_cache(maxsize=64)
    def official(cls, length: int) -> QuadraticShape:
        """Return the released loop's: `length` masks behind every token."""
        return cls((length,) * (length - 1), (length,) * length)

    @classmethod
    def two_pass(cls, length: int) -> QuadraticShape:
        """Return the two-pass form: a whole draft is verified without masks, a single token has `length` of them.

        The second pass has the group of the token with which the run ended and no other, so its draft is that of one
        pass; the token itself is verified once more, which gives another one.
        """
        return cls((0,) * (length - 1), (length, *(0,) * (length - 1)))

    @property
    def length(self) -> int:
        """Tokens of the longest draft, L."""
        return len(self.last)

    @cached_property
    def most_tokens(self) -> int:
        """Tokens of the largest pass."""
        return max(heads + sum(self.masks(heads)) for heads in range(1, self.length + 1))

    @cached_property
    def most_masks(self) -> int:
        """Masks of the largest group."""
        return max(*self.inner, *self.last, 0)

    @cached_property
    def reached(self) -> int:
        """Tokens of the longest of the drafts that follow each other from a single token on."""
        longest, seen = 1, 0
        while seen < longest:
            seen = longest
            longest = max(seen, *self.inner[: seen - 1], *self.last[:seen])
        return longest

    def up_to(self, length: int) -> QuadraticShape:
        """Return the same for drafts of at most `length` tokens, at least `reached`; the first one has that many."""
        return QuadraticShape(self.inner[: length - 1], self.last[:length])

    def masks(self, heads: int) -> tuple[int, ...]:
        """Return (heads,) the masks behind each token of a draft of `heads` tokens; none behind what is beyond L."""
        beyond = (0,) * max(0, heads - self.length)
        if beyond:
            return (*self.inner, self.last[-1], *beyond)
        return (*self.inner[: heads - 1], self.last[heads - 1])
