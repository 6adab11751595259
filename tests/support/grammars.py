"""Grammars over nano's tokens: compiled without a process, since tests write them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from trimode.api.guide import GuideType
from trimode.grammar.compiled import Compiled, compile_grammar, find_shortest
from trimode.grammar.lexicon import Lexicon
from trimode.grammar.matcher import Matcher
from trimode.grammar.source import Source, grammar_text

NANO = Path(__file__).parents[2] / "checkpoints" / "nano" / "tokenizer.json"
SIZE, END = 2048, 11


@cache
def nano_lexicon() -> Lexicon:
    return Lexicon(NANO.read_text(encoding="utf-8"), SIZE, END)


@cache
def compiled(kind: GuideType, text: str) -> Compiled:
    made = compile_grammar(grammar_text(Source(kind, text)), nano_lexicon())
    found = find_shortest(made)
    return Compiled(made.start, made.lexicon, None if found is None else tuple(found))


def matcher(kind: GuideType, guide: object, ends: tuple[int, ...] = (END,), begins_after: int | None = None) -> Matcher:
    text = guide if isinstance(guide, str) else json.dumps(guide)
    return compiled(kind, text).matcher(ends, begins_after)


def ids(text: str) -> list[int]:
    return [int(token) for token in nano_lexicon().tokens.tokenize_str(text)]


def shown(tokens: list[int] | tuple[int, ...]) -> str:
    return str(nano_lexicon().tokens.decode_str(list(tokens)))
