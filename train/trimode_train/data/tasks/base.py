"""A task: a seeded generator of examples, a weight in the mixture, an exact check. Knows no particular task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Example:
    """One question with its only right answer. `steps` is the worked text before the result, or empty."""

    domain: str
    prompt: str
    result: str
    steps: str = ""

    @property
    def answer(self) -> str:
        """The reply without thinking: the steps, then the result."""
        return f"{self.steps}\n{self.result}" if self.steps else self.result

    @property
    def thought(self) -> str:
        """The reply with thinking on; it starts inside an open <think> line."""
        return f"{self.steps}\n</think>{self.result}"

    def check(self, reply: str) -> bool:
        """Return whether a reply is right. Every word of the answer counts."""
        return reply.strip() == self.answer


@dataclass(frozen=True)
class Task:
    """A named generator: the same random state gives the same example. `weight` is its share of the mixture."""

    name: str
    make: Callable[[Random], Example]
    weight: float = 1.0
