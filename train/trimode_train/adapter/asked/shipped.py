"""Texts of installed packages that prompts are about: functions, passages, puzzles. train/README.md has the licences.

Knows no wordings and no models.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from random import Random
from typing import Any

from ...data.sources import SOURCES

LONGEST_FUNCTION = 700
"""Characters: about 200 tokens, so that prompt and answer fit one document."""
PASSAGE = (200, 900)
"""Characters of the shortest and of the longest passage."""
PUZZLES = ("chain_sum", "basic_arithmetic", "leg_counting", "letter_counting", "spell_backward", "gcd",
           "simple_equations", "number_sorting")  # fmt: skip
"""Datasets of reasoning-gym, whose questions are asked as they are."""
_ITEMS = 100_000
MOST_FUNCTIONS = 250
"""Of one source: reading more files would take longer than it is worth."""


def functions() -> Iterator[tuple[str, str, str]]:
    """Yield (source and file, code, its docstring's beginning): short documented functions of the sources."""
    for source in SOURCES:
        if source.kind == "code":
            found = (one for name, text in source.texts() for one in _documented(f"{source.name} {name}", text))
            yield from islice(found, MOST_FUNCTIONS)


def _documented(place: str, text: str) -> Iterator[tuple[str, str, str]]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return  # a file for another Python
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION // 20:
            says = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
            code = ast.get_source_segment(text, node) or ""
            if len(says) > 20 and len(code) <= LONGEST_FUNCTION:
                yield place, code, says


def passages() -> Iterator[tuple[str, str]]:
    """Yield (source and place, text): paragraphs of the prose sources, two or so together."""
    for source in SOURCES:
        if source.kind == "prose":
            for name, text in source.texts():
                yield from _paragraphs(f"{source.name} {name}", text)


def _paragraphs(place: str, text: str) -> Iterator[tuple[str, str]]:
    joined = ""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
        plain = " ".join(paragraph.split())
        if len(plain) < 80 or plain.startswith(("*", "+", "|", ">>>")):
            continue
        joined = f"{joined}\n\n{plain}".strip()
        if len(joined) >= PASSAGE[0]:
            if len(joined) <= PASSAGE[1]:
                yield f"{place} {number}", joined
            joined = ""


@cache
def _dataset(name: str) -> Any:
    import reasoning_gym  # here, because it takes a second, which only those who draw from it should wait

    return reasoning_gym.create_dataset(name, size=_ITEMS, seed=3)


def puzzle(rng: Random) -> tuple[str, str]:
    """Draw a question of one of reasoning-gym's datasets: the dataset's name and the question."""
    while True:
        name = rng.choice(PUZZLES)
        question: str = _dataset(name)[rng.randrange(_ITEMS)]["question"]
        if len(question) <= PASSAGE[1]:
            return name, question
