"""What the gaps of a request must match: each by itself, or the whole text with all of them. Knows nothing of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llguidance import LLMatcher

from ..api.params import GenerationParams
from ..decoding.guide import Guide
from ..errors import Described, RequestError
from ..grammar.closing import Ends, accepts, close
from ..grammar.compiled import Compiled
from ..grammar.gap_matcher import GapMatcher, followed_by
from ..grammar.matcher import Matcher
from .gapped_text import GappedText
from .guides import compiled_of
from .seams import Start
from .services import Services


@dataclass(frozen=True)
class GapGuide:
    """What one gap must match.

    Attributes:
        made: the grammar.
        at: the library's matcher where the gap begins; copied before it is moved.
        right: the text that follows the gap.
        ends: whether the gap may end where a matcher stands.
        path: the shortest filling that is known, in tokens.
        doubtful: whether none is known though one was looked for.
    """

    made: Compiled
    at: LLMatcher
    right: str
    ends: Ends
    path: tuple[int, ...] | None = None
    doubtful: bool = False

    def guide(self, start: Start) -> Guide:
        """Return the guide of tokens that begin as `start` says."""
        text = Matcher(self.at.deep_copy(), self.made.lexicon, self.path, may_end=self.ends)
        text.cursor.use = self.made.use
        return GapMatcher(text, self.made.lexicon, start.head.encode(), self.right.encode())

    def accepts(self, filling: str) -> bool:
        """Whether `filling` is right between its two sides."""
        at, tokens = self.at.deep_copy(), self.made.lexicon.spell(filling.encode())
        return (not tokens or at.try_consume_tokens(tokens) == len(tokens)) and self.ends(at)

    def shortest(self, most: int) -> list[int] | None:
        """Return a filling of at most `most` tokens, whatever the model says; None if none was found."""
        return close(self.at.deep_copy(), self.made.lexicon, most, thorough=True, ends=self.ends)


class GapGuides:
    """The guides of all gaps of one request."""

    def __init__(self, made: Compiled, text: GappedText, params: GenerationParams) -> None:
        """Take the grammar and the text.

        Raises:
            RequestError: the whole text is to match, and its left side begins none that does.
        """
        self._made, self._text, self._params = made, text, params
        self.whole = params.guide.guided_decoding_scope == "whole"
        if self.whole and made.after(text.pieces[0].encode()) is None:
            limit = f"must begin a text that matches its {params.guide.guided_decoding_guide_type}"
            raise RequestError(params.prompt.field, limit, text.pieces[0])

    @classmethod
    def of(cls, params: GenerationParams, text: GappedText, services: Services) -> GapGuides | None:
        """Return those of a request, None where its gaps are free.

        Raises:
            RequestError: the grammar is refused, or the left side begins no text that matches.
            EngineError: the process that tries grammars failed.
        """
        made = compiled_of(params, services)
        return None if made is None else cls(made, text, params)

    def after(self, fills: Sequence[str]) -> GapGuide:
        """Return the guide of the gap after those that `fills` filled."""
        at, made = len(fills), self._made
        right = self._text.pieces[at + 1]
        if not self.whole:
            return GapGuide(made, made.start, right, accepts, made.shortest)
        here = made.after(self._text.begun_with(fills).encode())
        assert here is not None  # each filling was accepted with what follows it
        last = at + 1 == len(self._text.sizes)
        ends = followed_by(made.lexicon.spell(right.encode()), closed=last)
        path = close(here, made.lexicon, max(self._text.sizes[at], default=self._params.max_tokens), ends=ends)
        return GapGuide(made, here, right, ends, None if path is None else tuple(path), doubtful=path is None)

    def none_found(self, gap: int, most: int) -> RequestError:
        """Return the error of a request for whose gap, counted from 0, nothing was found that matches."""
        what = "the whole text" if self.whole else "the gap"
        limit = f"must have a filling of at most {most} tokens with which {what} matches"
        given = Described(f"none that was found for gap {gap + 1} of {len(self._text.sizes)}")
        return RequestError("guided_decoding_guide", limit, given, error_type="no_filling")
