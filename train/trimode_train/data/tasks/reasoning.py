"""Questions of the package reasoning-gym (Apache-2.0), answered with worked steps of our own.

The questions' wording and the right results are the package's. `steps` are written here; a question whose steps do not
end in the package's result is never used. Source: https://github.com/open-thought/reasoning-gym.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from .base import Example, Task

Item = dict[str, Any]
_ITEMS = 2**31
_SETTINGS: dict[str, dict[str, Any]] = {
    "chain_sum": {"min_terms": 2, "max_terms": 4, "min_digits": 1, "max_digits": 2},
    "leg_counting": {"min_animals": 2, "max_animals": 3, "max_instances": 9},
    "time_intervals": {"task_types": ["time"]},
}


@cache
def _dataset(name: str) -> Any:
    import reasoning_gym  # here, because it takes a second, which only those who draw from it should wait

    return reasoning_gym.create_dataset(name, size=_ITEMS, seed=1, **_SETTINGS[name])


def item(name: str, rng: Random) -> Item:
    """Draw a question of one of the package's datasets: `question`, `answer` and `metadata`."""
    found: Item = _dataset(name)[rng.randrange(_ITEMS)]
    return found


def score(name: str, entry: Item, answer: str) -> float:
    """Return the package's own score of an answer, 0 to 1."""
    return float(_dataset(name).score_answer(answer, entry))


def _sum_steps(entry: Item) -> tuple[str, str] | None:
    words = entry["metadata"]["expression"].split()
    total, lines = int(words[0]), []
    for sign, number in zip(words[1::2], words[2::2], strict=True):
        after = total + int(number) if sign == "+" else total - int(number)
        lines.append(f"{total}{sign}{number}={after}")
        total = after
    return "\n".join(lines), str(total)


def _leg_steps(entry: Item) -> tuple[str, str] | None:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    total, lines = 0, []
    for animal, n in entry["metadata"]["animals"].items():
        legs = ANIMALS[animal]
        lines.append(f"{animal}: {n}*{legs}={n * legs}, total {total}+{n * legs}={total + n * legs}")
        total += n * legs
    return "\n".join(lines), str(total)


def _duration_steps(entry: Item) -> tuple[str, str] | None:
    if entry["metadata"]["expected_format"] != "HH:MM":
        return None
    begin, end = (datetime.datetime.fromisoformat(entry["metadata"][key]) for key in ("start_time", "end_time"))
    short = end.minute < begin.minute
    minutes, hours = (end.minute - begin.minute) % 60, end.hour - begin.hour - short
    lines = [f"{begin:%H:%M} to {end:%H:%M}"]
    if short:
        lines.append(f"minutes: {end.minute:02d}+60-{begin.minute:02d}={minutes:02d}, borrow 1")
        lines.append(f"hours: {end.hour:02d}-{begin.hour:02d}-1={hours:02d}")
    else:
        lines.append(f"minutes: {end.minute:02d}-{begin.minute:02d}={minutes:02d}")
        lines.append(f"hours: {end.hour:02d}-{begin.hour:02d}={hours:02d}")
    return "\n".join(lines), f"{hours:02d}:{minutes:02d}"


def _maker(domain: str, dataset: str, solve: Callable[[Item], tuple[str, str] | None]) -> Callable[[Random], Example]:
    def make(rng: Random) -> Example:
        while True:
            entry = item(dataset, rng)
            solved = solve(entry)
            if solved and solved[1] == entry["answer"]:
                return Example(domain, entry["question"].strip(), f"Answer: {solved[1]}", solved[0])

    make.__doc__ = f"A question of reasoning-gym's `{dataset}`."
    return make


SOLVERS: dict[str, tuple[str, Callable[[Item], tuple[str, str] | None]]] = {
    "chain_sum": ("chain_sum", _sum_steps),
    "legs": ("leg_counting", _leg_steps),
    "durations": ("time_intervals", _duration_steps),
}
"""By domain: the package's dataset, and the function that gives worked steps and result, or None if it cannot."""

TASKS = tuple(Task(domain, _maker(domain, *solver)) for domain, solver in SOLVERS.items())
