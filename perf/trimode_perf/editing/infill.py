"""Infill against the same checkpoint asked from left to right: what is hidden, restored, parses, and the cost.

Hidden are lines and spans of right replies, and lines of Python functions.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from trimode.api.answer import Chunk
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from ..common.ask import Request, ask
from ..common.prompts import Prompt
from ..quality.prompts import Problem

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


LONGEST = 64
"""Most tokens that are searched or written; no hidden part has more."""
WAYS = ("left_to_right_told", "left_to_right_line", "infill_told", "infill_searched")
"""From the left alone, as many tokens as are hidden or to the line's end; with both sides, the size given or not."""


def compare(
    runtime: Runtime, sets: Mapping[str, Sequence[Item]], advance: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return a row for each set and way: how many items, exact, parsed (of Python), forwards."""
    assert runtime.tokenizer is not None
    rows = []
    for name, items in sets.items():
        sizes = [len(runtime.tokenizer.encode(item.hidden)) for item in items]
        for way in WAYS:
            requests = [_request(way, item, size, runtime.tokenizer) for item, size in zip(items, sizes, strict=True)]
            answers = ask(runtime, requests, answered=partial(advance, f"{name}, {way}")).chunks
            rows.append({"set": name, "way": way, **_count(items, answers)})
    return rows


def _request(way: str, item: Item, size: int, tokenizer: Tokenizer) -> Request:
    match way:
        case "infill_told":
            return {**item.gap(), "infill_tokens": size}
        case "infill_searched":
            return {**item.gap(), "max_tokens": LONGEST}
    before = "" if item.messages is None else tokenizer.render_chat(item.messages, enable_thinking=False)
    serial = {"text_input": before + item.left, "mode": "autoregressive"}
    if way == "left_to_right_told":
        return {**serial, "max_tokens": size}
    return {**serial, "max_tokens": LONGEST, "stop_words": ["\n"]}


def _count(items: Sequence[Item], answers: Sequence[Chunk]) -> dict[str, Any]:
    pairs = list(zip(items, answers, strict=True))
    python = [pair for pair in pairs if pair[0].parses(pair[0].hidden)]
    return {
        "asked": len(items),
        "exact": sum(answer.text == item.hidden for item, answer in pairs),
        "python": len(python),
        "parsed": sum(item.parses(answer.text) for item, answer in python),
        "forwards": sum(answer.counters.forwards for answer in answers),
    }
