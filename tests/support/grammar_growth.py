"""What a grammar takes after many tokens, measured in a process that does nothing else."""

from __future__ import annotations

from random import Random

import numpy as np
from trimode.api.guide import GuideType
from trimode.grammar.compiled import compile_grammar
from trimode.grammar.heap import allocated
from trimode.grammar.source import Source, grammar_text

from tests.support.grammars import nano_lexicon

LONGEST = 200  # tokens of one text


def grown(guide: tuple[GuideType, str], tokens: int) -> int:
    """Return the bytes that a grammar takes once so many tokens were drawn in it at random."""
    lexicon, chance = nano_lexicon(), Random(1)
    before = allocated()
    start = compile_grammar(grammar_text(Source(*guide)), lexicon).start
    at, length = start.deep_copy(), 0
    for _ in range(tokens):
        allowed = np.flatnonzero(lexicon.unpack(at.compute_bitmask()))
        if not len(allowed) or length == LONGEST:
            at, length = start.deep_copy(), 0
            continue
        at.consume_token(int(allowed[chance.randrange(len(allowed))]))
        length += 1
    return allocated() - before
