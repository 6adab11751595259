"""The held-out prompts that every measurement uses, taken evenly from their domains."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
HELD_OUT = "heldout.jsonl"
"""The file of a checkpoint that has them."""
CODE = "code"
"""The domain of plain texts, which have no right answer."""
DROPPED: tuple[str, ...] = ("chain_sum", "sequence", "sort_words", "table")
"""Chat domains that the checkpoint does not claim: their figures stay in the card and count nowhere."""


@dataclass(frozen=True)
class Prompt:
    """One held-out prompt: its domain, the request's field that carries it, and the answer the corpus has, if any."""

    domain: str
    messages: tuple[dict[str, Any], ...] | None = None
    text: str | None = None
    answer: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The prompt as a request in process has it."""
        return {"text_input": self.text} if self.messages is None else {"messages": list(self.messages)}

    @property
    def wire(self) -> dict[str, str]:
        """The prompt as a tensor or a JSON body has it."""
        fields = self.fields
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}

    def answered_by(self, text: str) -> bool:
        """Whether `text` is, word for word, the held-out answer."""
        return self.answer is not None and text.split() == self.answer.split()


def load(path: Path, per_domain: int) -> list[Prompt]:
    """Return the first `per_domain` prompts of each domain of `path` (JSON lines), one from each domain in turn."""
    domains: defaultdict[str, list[Prompt]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        raw: dict[str, Any] = json.loads(line)
        messages = tuple(raw["messages"]) if "messages" in raw else None
        domains[raw["domain"]].append(Prompt(raw["domain"], messages, raw.get("prompt"), raw.get("answer")))
    rounds = zip_longest(*(domains[name][:per_domain] for name in sorted(domains)))
    return [prompt for turn in rounds for prompt in turn if prompt is not None]


def claimed(prompts: list[Prompt]) -> list[Prompt]:
    """Return those that have a right answer, of domains that the checkpoint claims."""
    return [prompt for prompt in prompts if prompt.answer is not None and prompt.domain not in DROPPED]


def halves(prompts: list[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
    """Return the first half of each domain's prompts, and the second."""
    counts, seen = Counter(prompt.domain for prompt in prompts), Counter[str]()
    parts: tuple[list[Prompt], list[Prompt]] = ([], [])
    for prompt in prompts:
        parts[2 * seen[prompt.domain] >= counts[prompt.domain]].append(prompt)
        seen[prompt.domain] += 1
    return parts


def spread(prompts: Sequence[T], count: int) -> list[T]:
    """Return `count` of `prompts`, evenly spaced, so that no domain is left out before it must be."""
    count = min(count, len(prompts))
    return [prompts[index * len(prompts) // count] for index in range(count)]
