"""Guide: what the answer's text must match, as decoding sees it. Knows no grammar; grammar/matcher.py is one.

A guide stands where the committed tokens end. A pass that looks further takes tokens and gives them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..engines.base import RowResult
from ..errors import Described, RequestError
from .rules.base import FORBIDDEN

Bools = npt.NDArray[np.bool_]


class Guide(Protocol):
    """One text on its way; its tokens are taken one by one and can be taken back."""

    @property
    def taken(self) -> int:
        """How many tokens were taken."""
        ...

    @property
    def waits(self) -> bool:
        """Whether the text is still to begin: what comes before it, such as a thought, is free."""
        ...

    @property
    def accepting(self) -> bool:
        """Whether the text may end here."""
        ...

    @property
    def whole(self) -> bool:
        """Whether a text that the limit cuts here is a whole one; words that could go on anyhow are not."""
        ...

    @property
    def complete(self) -> bool:
        """Whether nothing may follow."""
        ...

    @property
    def forced(self) -> tuple[int, ...]:
        """The tokens that must come next, as the tokenizer would write them; usually none."""
        ...

    def fits(self, token: int) -> bool:
        """Whether `token` may come next: cheaper than a mask."""
        ...

    def allowed(self) -> Bools:
        """Return (V,) which tokens may come next; nobody may change it."""
        ...

    def look_ahead(self, draft: Sequence[int]) -> None:
        """Let the masks along `draft` be made in one call, once one of them is asked for."""
        ...

    def take(self, token: int) -> None:
        """Go on by `token`, which fits."""
        ...

    def back(self, count: int) -> None:
        """Take back the last `count` tokens."""
        ...

    def settle(self, token: int, room: int) -> int:
        """Return `token`, which fits, or another one where after it the text could not end within `room` tokens.

        Words are free, and so is what follows them: nothing is chosen for the sake of an end there.
        """
        ...


class NoTokenError(RequestError):
    """No token is left that fits what the text must match."""

    def __init__(self, taken: int) -> None:
        limit = "must leave a token to choose at each place, next to the other fields"
        given = Described(f"none after {taken} tokens")
        super().__init__("guided_decoding_guide", limit, given, error_type="not_applicable")


def only_allowed(guide: Guide, result: RowResult, row: int) -> RowResult:
    """Return row `row` of `result` alone, in which nothing can be chosen but what the guide allows.

    Raises:
        NoTokenError: nothing is left, because other rules forbid all of it or the grammar leads nowhere.
    """
    one = result.line(row).reshaped(np.where(guide.allowed(), result.logits[row : row + 1], FORBIDDEN))
    if one.stuck():
        raise NoTokenError(guide.taken)
    return one


def follow(guide: Guide, tokens: list[int], end: int | None) -> int | None:
    """Let the guide take `tokens`; return where the answer ends, `end` unless nothing may follow before that."""
    for at, token in enumerate(tokens):
        guide.take(token)
        if guide.complete:
            return at
    return end


def holds(guide: Guide, tokens: Sequence[int]) -> bool:
    """Whether `tokens` are a whole text; the guide stays where it is."""
    begin = guide.taken
    try:
        for token in tokens:
            if guide.complete or not guide.fits(token):
                return False
            guide.take(token)
        return guide.accepting
    finally:
        guide.back(guide.taken - begin)
