"""The process that tries a grammar before the server uses it: one of strangers can take any time, so it has limits.

Started by trial.py. It reads a tokenizer, then grammars, and follows each for some hundred tokens.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from trimode.errors import Described, RequestError, shorten
from trimode.grammar.compiled import TRIED_TOKENS, Compiled, compile_grammar, find_shortest
from trimode.grammar.heap import allocated
from trimode.grammar.lexicon import Lexicon
from trimode.grammar.source import Source, grammar_text
from trimode.text.limited_worker import run, serve

PROCESSOR_SECONDS = 2.0
"""Processor time of one grammar; usual ones take a hundredth of it."""
MEMORY_BYTES = 2 * 2**30
"""Address space of the process; the tables of a tokenizer of 131,072 tokens take a tenth of it."""
LONGEST = 128
"""Tokens of a text that are taken at random to see whether the grammar stays simple, of TRIED_TOKENS in all."""


def answer(lexicon: Lexicon, source: Source) -> dict[str, Any]:
    """Try one grammar; the answer holds what is wrong with it, or the shortest text found and its bytes.

    Whatever the library raises is the grammar's fault: it takes no number beyond 64 bits, and no half of a pair.
    """
    try:
        return _try(lexicon, source)
    except RequestError as exc:
        return {"refused": exc.limit, "found": exc.given}
    except MemoryError:
        raise
    except Exception as exc:
        said = str(exc).encode("ascii", "backslashreplace").decode("ascii")
        return {"refused": "must be a grammar that can be compiled", "found": shorten(Described(said))}


def _try(lexicon: Lexicon, source: Source) -> dict[str, Any]:
    lexicon.forget_masks()  # they are no grammar's: what is kept of them, or freed meanwhile, must not count
    before = allocated()
    compiled = compile_grammar(grammar_text(source), lexicon)
    if (error := _follow(compiled)) is not None:
        return {"refused": "must stay simple enough to be followed", "found": error}
    shortest = find_shortest(compiled)
    lexicon.forget_masks()
    return {"shortest": shortest, "bytes": max(0, allocated() - before)}


def _follow(compiled: Compiled) -> str | None:
    """Take tokens at random, text after text; return what the library says where that became too complex."""
    lexicon, chance = compiled.lexicon, Random(0)
    at, length = compiled.start.deep_copy(), 0
    for _ in range(TRIED_TOKENS):
        allowed = np.flatnonzero(lexicon.unpack(at.compute_bitmask()))
        if at.is_error():
            return str(at.get_error())[:120]
        if not len(allowed) or length == LONGEST:
            at, length = compiled.start.deep_copy(), 0
            continue
        at.consume_token(int(allowed[chance.randrange(len(allowed))]))
        length += 1
    return None


def main() -> None:
    """Serve until the input ends."""
    lexicon: Lexicon | None = None

    def reply(message: dict[str, Any]) -> dict[str, Any]:
        nonlocal lexicon
        if lexicon is None:
            lexicon = Lexicon(message["tokenizer"], message["size"], message["end_id"])
            return {}
        return answer(lexicon, Source(message["kind"], message["text"], message["compact"]))

    serve(reply, processor_seconds=PROCESSOR_SECONDS, memory_bytes=MEMORY_BYTES)


if __name__ == "__main__":
    run(main)
