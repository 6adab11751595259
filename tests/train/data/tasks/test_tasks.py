"""The tasks that make questions: their checkers, and the same for the same seed."""

from __future__ import annotations

import json
import re
from random import Random

import pytest
from trimode_train.data.corpus import HELD_OUT_PROMPTS, draw
from trimode_train.data.sources import is_held_out
from trimode_train.data.tasks import TASKS, Example


def examples(name: str, n: int = 60) -> list[Example]:
    rng = Random(f"test {name}")
    return [TASKS[name].make(rng) for _ in range(n)]


@pytest.mark.parametrize("name", TASKS)
def test_a_checker_accepts_its_own_answer(name: str) -> None:
    assert all(e.check(e.answer) and e.domain == name for e in examples(name))


@pytest.mark.parametrize("name", TASKS)
def test_a_checker_rejects_a_corrupted_answer(name: str) -> None:
    for e in examples(name):
        assert not e.check(e.answer[:-1])
        assert not e.check(e.answer.replace(e.answer[len(e.answer) // 2], "~"))


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_examples(name: str) -> None:
    assert examples(name) == examples(name)


@pytest.mark.parametrize(("name", "sign"), [("addition", "+"), ("subtraction", "-"), ("multiplication", "*")])
def test_arithmetic_results_are_true(name: str, sign: str) -> None:
    for e in examples(name):
        a, b = map(int, re.findall(r"\d+", e.prompt))
        assert e.result == f"Answer: {eval(f'{a} {sign} {b}')}"
        for left, right in re.findall(r"([\d+*-]+)=(\d+)", e.steps):
            assert eval(left) == int(right)


def test_shopping_totals_are_true() -> None:
    for e in examples("shopping"):
        pairs = re.findall(r"(\d+) \w+ at (\d+) dollars", e.prompt)
        assert e.result == f"Answer: {sum(int(n) * int(price) for n, price in pairs)} dollars"


def test_json_and_sentences_are_inverse() -> None:
    for e in examples("to_json"):
        assert all(str(value) in e.prompt for value in json.loads(e.answer).values())
    for e in examples("from_json"):
        record = json.loads(e.prompt[e.prompt.index("{") :])
        assert all(str(value) in e.answer for value in record.values())


def test_sorted_lists_are_sorted_permutations() -> None:
    for name, kind in (("sort_numbers", int), ("sort_words", str)):
        for e in examples(name):
            given = [kind(x) for x in e.prompt.split(": ")[1].rstrip(".").split(", ")]
            assert [kind(x) for x in e.answer.removeprefix("Sorted: ").split(", ")] == sorted(given)


def test_functions_are_python() -> None:
    for e in examples("function"):
        compile(e.answer.removeprefix("```python\n").removesuffix("```"), "function", "exec")


def test_held_out_prompts_are_never_drawn_for_training() -> None:
    rng = Random(3)
    assert all(not is_held_out(draw(rng).prompt, HELD_OUT_PROMPTS) for _ in range(500))
    assert all(is_held_out(draw(rng, held_out=True).prompt, HELD_OUT_PROMPTS) for _ in range(50))
