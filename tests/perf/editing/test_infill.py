"""What is hidden, and what is counted of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from trimode.api.answer import Chunk
from trimode.api.counters import Counters
from trimode_perf.common.prompts import Prompt
from trimode_perf.editing import infill
from trimode_perf.quality.prompts import Problem

CODE = ("```python\ndef f(a):\n", "    b = a", "\n    return b\n```")


@pytest.mark.parametrize("kind", ["lines", "words", "characters"])
def test_what_is_hidden_lies_between_its_sides(prompts: list[Prompt], kind: str) -> None:
    draws: dict[str, Callable[[], list[infill.Item]]] = {
        "lines": lambda: list(infill.lines(prompts, 2)),
        "words": lambda: list(infill.spans(prompts, words=True)),
        "characters": lambda: list(infill.spans(prompts, words=False)),
    }
    draw = draws[kind]
    items = draw()
    assert items == draw() and len(items) > 20
    answers = {prompt.answer for prompt in prompts}
    for item in items:
        assert item.left + item.hidden + item.right in answers and item.hidden and item.left and item.right
        if kind == "lines":
            assert item.left.endswith("\n") and item.right.startswith("\n") and "\n" not in item.hidden
        else:
            assert infill.SPAN[0] <= len(item.hidden) <= infill.SPAN[1]
        if kind == "words":
            assert item.left[-1].isspace() and item.right[0].isspace()
            assert not item.hidden[0].isspace() and not item.hidden[-1].isspace()


def test_a_reply_parses_if_what_its_fence_holds_is_python() -> None:
    item = infill.Item("function", (), *CODE)
    assert item.parses(item.hidden)
    assert not item.parses("    b = (")
    assert not infill.Item("story", (), "It ", "was", " a day").parses("was")


def test_a_line_of_a_function_alone_is_hidden_in_its_body() -> None:
    problem = Problem(prompt="def f(a):\n", solution="    b = a\n\n    return b\n")
    (item,) = infill.functions([problem])
    assert item.left + item.hidden + item.right == problem.prompt + problem.solution
    assert item.hidden.strip() in ("b = a", "return b") and item.parses(item.hidden)
    assert item.gap() == {"text_input": item.left, "suffix": item.right}


def test_exact_and_parsed_are_counted() -> None:
    item = infill.Item("function", (), *CODE)
    story = infill.Item("story", (), "It ", "was", " a day")
    answers = [Chunk("    b = 2", counters=Counters(denoise_forwards=2)), Chunk("was")]
    assert infill._count([item, story], answers) == {"asked": 2, "exact": 1, "python": 1, "parsed": 1, "forwards": 2}
