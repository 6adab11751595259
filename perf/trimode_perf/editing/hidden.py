"""Held-out texts with a part hidden: lines and spans of right replies, and lines of Python functions."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.prompts import Prompt
from ..quality.humaneval import Problem

SPAN = (3, 40)
"""Shortest and longest span in characters."""


@dataclass(frozen=True)
class Item:
    """A text with a part hidden. `messages` come before it, the model's turn open, or None where it stands alone."""

    domain: str
    messages: tuple[dict[str, str], ...] | None
    left: str
    hidden: str
    right: str

    def gap(self) -> dict[str, Any]:
        """Return the fields of a request to fill it, but for the size."""
        if self.messages is None:
            return {"text_input": self.left, "suffix": self.right}
        return {"messages": [*self.messages, {"role": "assistant", "content": self.left}], "suffix": self.right}

    def parses(self, filled: str) -> bool:
        """Whether the text with `filled` is Python; of a reply what stands in its fence is."""
        whole = self.left + filled + self.right
        fenced = re.fullmatch(r"```python\n(.*?)\n?```\s*", whole, re.DOTALL)
        try:
            ast.parse(fenced[1] if fenced else whole)
        except (SyntaxError, ValueError):
            return False
        return self.messages is None or fenced is not None


def lines(prompts: Sequence[Prompt], per_prompt: int, seed: int = 1) -> Iterator[Item]:
    """Yield items with a whole line hidden, neither the first nor the last of a reply, and not empty."""
    draw = random.Random(seed)
    for prompt in prompts:
        found = (prompt.answer or "").splitlines(keepends=True)
        inner = [at for at in range(1, len(found) - 1) if found[at].strip()]
        for at in sorted(draw.sample(inner, min(per_prompt, len(inner)))):
            yield _line(prompt.domain, prompt.messages, found, at)


def spans(prompts: Sequence[Prompt], *, words: bool, seed: int = 2) -> Iterator[Item]:
    """Yield items with a span hidden: of whole words, or of any characters."""
    draw = random.Random(seed)
    for prompt in prompts:
        text = prompt.answer or ""
        pattern = (r"(?<=\s)(?=\S)", r"(?<=\S)(?=\s)") if words else (r"(?<=.)(?=.)",) * 2
        starts, ends = ([match.start() for match in re.finditer(one, text, re.DOTALL)] for one in pattern)
        pairs = [(start, end) for start in starts for end in ends if SPAN[0] <= end - start <= SPAN[1]]
        if pairs:
            start, end = draw.choice(pairs)
            yield Item(prompt.domain, prompt.messages, text[:start], text[start:end], text[end:])


def functions(problems: Sequence[Problem], seed: int = 3) -> Iterator[Item]:
    """Yield a line of each problem's solution hidden in prompt and solution, as plain text."""
    draw = random.Random(seed)
    for problem in problems:
        found = (problem.prompt + problem.solution).splitlines(keepends=True)
        own = [at for at in range(problem.prompt.count("\n"), len(found)) if found[at].strip()]
        if own:
            yield _line("human_eval", None, found, draw.choice(own))


def _line(domain: str, messages: tuple[dict[str, str], ...] | None, lines: Sequence[str], at: int) -> Item:
    hidden = lines[at].rstrip("\n")
    after = lines[at][len(hidden) :] + "".join(lines[at + 1 :])
    return Item(domain, messages, "".join(lines[:at]), hidden, after)
