"""The reasoning tasks: every equation of their steps is true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest
from trimode_train.data.tasks import TASKS, Example, reasoning
from trimode_train.data.tasks.reasoning import Item

DOMAINS = list(reasoning.SOLVERS)
NUMERIC = re.compile(r"[\d+*/ -]+")


def made(name: str, monkeypatch: pytest.MonkeyPatch, n: int = 150) -> list[tuple[Example, list[Item]]]:
    """Examples of a task, each with all the items that were drawn for it."""
    drawn: list[Item] = []
    item = reasoning.item

    def noted(dataset: str, rng: Random) -> Item:
        drawn.append(item(dataset, rng))
        return drawn[-1]

    monkeypatch.setattr(reasoning, "item", noted)
    rng, examples = Random(f"reasoning {name}"), []
    for _ in range(n):
        drawn.clear()
        examples.append((TASKS[name].make(rng), list(drawn)))
    return examples


def value(expression: str) -> float:
    """An expression's value; numbers may have leading zeros, as in times."""
    return eval(re.sub(r"\b0+(?=\d)", "", expression))


def equations(line: str) -> Iterator[list[str]]:
    """The numeric sides of each equation of a line: `a: 2*3=6, total 1+6=7` has two."""
    for part in line.split(", "):
        sides = [side.strip() for side in part.split(": ")[-1].removeprefix("total ").split("=")]
        numeric = [side for side in sides if NUMERIC.fullmatch(side)]
        if len(numeric) > 1:
            yield numeric


@pytest.mark.parametrize("name", DOMAINS)
def test_every_equation_of_the_steps_is_true(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for example, _ in made(name, monkeypatch):
        found = [sides for line in example.steps.splitlines() for sides in equations(line)]
        assert found, example
        for first, *others in found:
            assert all(value(side) == value(first) for side in others), example


def test_a_false_equation_would_be_noticed() -> None:
    ((left, right),) = equations("minutes: 03+60-59=05, borrow 1")
    assert value(left) != value(right)


@pytest.mark.parametrize("name", DOMAINS)
def test_the_package_gives_the_result_full_score_and_another_less(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = reasoning.SOLVERS[name][0]
    examples = made(name, monkeypatch)
    results = {example.result for example, _ in examples}
    assert len(results) > 5
    for example, drawn in examples:
        assert reasoning.score(dataset, drawn[-1], example.result.removeprefix("Answer: ")) == 1.0
        other = sorted(results - {example.result})[0].removeprefix("Answer: ")
        assert reasoning.score(dataset, drawn[-1], other) < 1.0


@pytest.mark.parametrize("name", DOMAINS)
def test_the_question_is_the_package_s_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for example, drawn in made(name, monkeypatch, 20):
        assert example.prompt == drawn[-1]["question"].strip()


@pytest.mark.parametrize("name", DOMAINS)
def test_only_what_steps_do_not_reach_is_skipped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    solve = reasoning.SOLVERS[name][1]
    for example, drawn in made(name, monkeypatch):
        *skipped, kept = drawn
        assert solve(kept) == (example.steps, kept["answer"])
        assert all(solved is None or solved[1] != item["answer"] for item in skipped for solved in [solve(item)])


def sum_item(expression: str, answer: str) -> Item:
    return {"question": f"Add {expression}", "answer": answer, "metadata": {"expression": expression}}


def test_an_item_with_another_answer_than_the_steps_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([sum_item("2 + 3 - 1", "5"), sum_item("2 + 3 - 1", "4")])
    monkeypatch.setattr(reasoning, "item", lambda dataset, rng: next(given))
    example = TASKS["chain_sum"].make(Random(0))
    assert (example.steps, example.result) == ("2+3=5\n5-1=4", "Answer: 4")


def test_a_duration_in_another_format_has_no_steps() -> None:
    times = {"start_time": "2026-01-01 10:00:00", "end_time": "2026-01-01 11:05:00"}
    solve = reasoning.SOLVERS["durations"][1]
    assert solve({"metadata": times | {"expected_format": "HH:MM:SS"}}) is None
    solved = solve({"metadata": times | {"expected_format": "HH:MM"}})
    assert solved is not None and solved[1] == "01:05"


@pytest.mark.parametrize("name", DOMAINS)
def test_the_same_state_gives_the_same_example_and_another_state_others(name: str) -> None:
    make = TASKS[name].make
    assert [make(Random(seed)) for seed in range(10)] == [make(Random(seed)) for seed in range(10)]
    assert len({make(Random(seed)).prompt for seed in range(10)}) > 5
