"""Compiled: a grammar that is ready to be followed, and the compiling itself. Knows nothing of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llguidance import LLMatcher, LLParserLimits

from .closing import close
from .heap import Use
from .lexicon import Lexicon
from .matcher import Matcher
from .need import MOST
from .refusal import bad_grammar

LIMITS = LLParserLimits(
    initial_lexer_fuel=500_000,  # 10 ms
    step_lexer_fuel=100_000,  # 7 ms
    step_max_items=20_000,  # 1 ms
    max_lexer_states=50_000,  # 100 MB
    max_grammar_size=100_000,
    max_items_in_row=1_000,
    verbose_errors=False,
)
"""What compiling and each step may take; about half of the library's own limits."""
MOST_BYTES_OF_STATES = 100 * 2**20
"""Bytes that the states of one grammar may take: max_lexer_states, some 2 KB each."""
TRIED_TOKENS = 384
"""Tokens that are followed at random when a grammar is tried; its size is what it takes then."""
LONGEST_SEARCHED = 2_048
"""Tokens of the longest text that is tried as the shortest one."""


@dataclass(frozen=True)
class Compiled:
    """A grammar at its beginning.

    Attributes:
        shortest: the shortest text known, in tokens, None if none is.
        need: most tokens that a text needs at once to be ended.
        size: bytes that it took when it was tried.
        use: how many tokens of answers were followed in it since.
    """

    start: LLMatcher
    lexicon: Lexicon
    shortest: tuple[int, ...] | None
    need: int = MOST
    size: int = 0
    use: Use = field(default_factory=Use)

    @property
    def grown_bytes(self) -> int:
        """What the states that answers went through are counted with: the library does not say what they take.

        They grow with the tokens that are followed, and slower the more were followed: as fast as they grew when the
        grammar was tried, with tokens drawn at random, they never grow again.
        """
        return min(self.size * self.use.tokens // TRIED_TOKENS, MOST_BYTES_OF_STATES)

    @property
    def counted_bytes(self) -> int:
        """What it is counted with in all."""
        return self.size + self.grown_bytes

    def after(self, text: bytes) -> LLMatcher | None:
        """Return the library's matcher after `text`; None if no text that matches begins so."""
        at, tokens = self.start.deep_copy(), self.lexicon.spell(text)
        self.use.tokens += len(tokens)
        return at if not tokens or at.try_consume_tokens(tokens) == len(tokens) else None

    def matcher(self, ends: Sequence[int] = (), begins_after: int | None = None) -> Matcher:
        """Return a matcher of its own for one text; see there for the arguments."""
        at = self.start.deep_copy()
        made = Matcher(at, self.lexicon, self.shortest, ends=ends, begins_after=begins_after, need=self.need)
        made.cursor.use = self.use
        return made


def compile_grammar(text: str, lexicon: Lexicon, shortest: Sequence[int] | None = None) -> Compiled:
    """Compile what `source.grammar_text` gave.

    Args:
        shortest: the shortest text, where it is known; otherwise it is `find_shortest` that finds it.

    Raises:
        RequestError: it is no grammar, is too large, or fits no text.
    """
    start = LLMatcher(lexicon.tokens, text, log_level=0, limits=LIMITS)
    if start.is_error():
        raise bad_grammar("must be a grammar that can be enforced", _reason(start.get_error()))
    allowed = lexicon.unpack(start.compute_bitmask())
    if start.is_error():
        raise bad_grammar("must be simple enough to be followed", _reason(start.get_error()))
    if not allowed.any():
        raise bad_grammar("must fit some text that is not empty", "none")
    return Compiled(start, lexicon, None if shortest is None else tuple(shortest))


def find_shortest(compiled: Compiled) -> list[int] | None:
    """Return a short text of the grammar, in tokens; None if none was found."""
    return close(compiled.start, compiled.lexicon, LONGEST_SEARCHED, thorough=True, by_chance=True)


def _reason(error: str) -> str:
    """Return what the library says, without the state that it adds."""
    said = error.partition("<state>")[0].partition("<non-verbose/>")[0].rpartition("JSON schema: ")[2]
    return " ".join(said.split())[:200] or "one that takes too long"
