"""How editing is measured: what is hidden and corrupted, what is counted, and that the report is of its results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.api.answer import Chunk
from trimode.api.counters import Counters
from trimode.text.tokenizer import Tokenizer
from trimode_perf.common.ask import ask
from trimode_perf.common.claims import unexpected
from trimode_perf.common.prompts import Prompt, load
from trimode_perf.editing import hidden, infill, report, revise
from trimode_perf.quality.humaneval import Problem

from tests.support.toy import EOS, MASK, ToyEngine, toy_runtime

ROOT = Path(__file__).parents[3]
PERF = ROOT / "perf"
CODE = ("```python\ndef f(a):\n", "    b = a", "\n    return b\n```")


@pytest.fixture
def prompts() -> list[Prompt]:
    found = load(ROOT / "checkpoints/nano/heldout.jsonl", 3)
    return [prompt for prompt in found if prompt.answer]


@pytest.fixture
def tokenizer() -> Tokenizer:
    found = Tokenizer.load(ROOT / "checkpoints/nano")
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["lines", "words", "characters"])
def test_what_is_hidden_lies_between_its_sides(prompts: list[Prompt], kind: str) -> None:
    draws: dict[str, Callable[[], list[hidden.Item]]] = {
        "lines": lambda: list(hidden.lines(prompts, 2)),
        "words": lambda: list(hidden.spans(prompts, words=True)),
        "characters": lambda: list(hidden.spans(prompts, words=False)),
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
            assert hidden.SPAN[0] <= len(item.hidden) <= hidden.SPAN[1]
        if kind == "words":
            assert item.left[-1].isspace() and item.right[0].isspace()
            assert not item.hidden[0].isspace() and not item.hidden[-1].isspace()


def test_a_reply_parses_if_what_its_fence_holds_is_python() -> None:
    item = hidden.Item("function", (), *CODE)
    assert item.parses(item.hidden)
    assert not item.parses("    b = (")
    assert not hidden.Item("story", (), "It ", "was", " a day").parses("was")


def test_a_line_of_a_function_alone_is_hidden_in_its_body() -> None:
    problem = Problem(prompt="def f(a):\n", solution="    b = a\n\n    return b\n")
    (item,) = hidden.functions([problem])
    assert item.left + item.hidden + item.right == problem.prompt + problem.solution
    assert item.hidden.strip() in ("b = a", "return b") and item.parses(item.hidden)
    assert item.gap() == {"text_input": item.left, "suffix": item.right}


def test_a_tenth_of_the_tokens_is_replaced_and_read_as_such(prompts: list[Prompt], tokenizer: Tokenizer) -> None:
    others = revise.any_token(tokenizer, 1800)
    texts = revise.corrupt(prompts, tokenizer, others)
    assert len(texts) > 20 and texts == revise.corrupt(prompts, tokenizer, others)
    for text in texts:
        assert tokenizer.encode(text.text) == text.wrong and len(text.wrong) == len(text.right)
        assert len(text.places) == max(1, round(0.1 * len(text.right)))


def test_plausible_tokens_are_those_the_model_finds_likeliest_beside_the_right_one() -> None:
    engine = ToyEngine()
    runtime = toy_runtime(engine, "<{{ messages[0].content }}>")
    try:
        assert runtime.tokenizer is not None
        asked, answer = runtime.tokenizer.encode("<q>"), runtime.tokenizer.encode("abcé")
        found = revise.plausible(runtime)("q", answer)
    finally:
        runtime.close()
    assert len(found) == len(answer) and not engine._slots
    for at, few in enumerate(found):
        logits = engine.causal_logits([*asked, *answer[:at]])
        ranked = [token for token in np.argsort(-logits).tolist() if token not in (EOS, MASK, answer[at])]
        assert few == ranked[: revise.LIKELIEST]


def test_each_kind_of_corruption_and_the_right_answers_are_asked_in_every_setting() -> None:
    runtime = toy_runtime(ToyEngine(), "<{{ messages[0].content }}>")
    try:
        texts = [revise.Corrupted("q", runtime.tokenizer.encode("abcd"), runtime.tokenizer.encode("abxd"), "abxd")]  # type: ignore[union-attr]
        rows = revise.measure(runtime, {"any": texts, "plausible": texts}, lambda name: None)
    finally:
        runtime.close()
    assert [row["corruption"] for row in rows] == ["any", "plausible", None] * len(revise.SETTINGS)
    assert all(("restored" in row) == (row["corruption"] is not None) for row in rows)


def test_restored_and_harmed_tokens_are_counted_apart() -> None:
    text = revise.Corrupted("q", [1, 2, 3, 4], [1, 9, 3, 9], "")
    assert revise._repaired([text], [[1, 2, 7, 9]]) == {
        "texts": 1, "exact": 0, "wrong_tokens": 2, "restored": 1, "good_tokens": 2, "harmed": 1,
    }  # fmt: skip
    assert revise._spoilt([text], [[1, 2, 3, 5]]) == {"texts": 1, "exact": 0, "good_tokens": 4, "harmed": 1}


def test_exact_and_parsed_are_counted() -> None:
    item = hidden.Item("function", (), *CODE)
    story = hidden.Item("story", (), "It ", "was", " a day")
    answers = [Chunk("    b = 2", counters=Counters(denoise_forwards=2)), Chunk("was")]
    assert infill._count([item, story], answers) == {"asked": 2, "exact": 1, "python": 1, "parsed": 1, "forwards": 2}


def test_requests_come_back_in_order() -> None:
    runtime = toy_runtime(ToyEngine())
    try:
        asked = [{"text_input": "ab", "max_tokens": count, "stream": count % 2 == 0} for count in (5, 2, 9, 1)]
        counted: list[int] = []
        answers = ask(runtime, asked, answered=lambda: counted.append(1)).chunks
        assert [len(answer.token_ids) for answer in answers] == [5, 2, 9, 1] and len(counted) == 4
    finally:
        runtime.close()


# What is committed


@pytest.fixture
def shipped() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PERF / "results/editing.json").read_text(encoding="utf-8"))
    return found


def test_the_report_is_that_of_its_results(shipped: dict[str, Any]) -> None:
    assert report.text(shipped) == (PERF / "EDITING.md").read_text(encoding="utf-8")


def test_claims_hold_but_for_the_known_one_and_fail_where_figures_are_turned(shipped: dict[str, Any]) -> None:
    assert unexpected(report.claims(shipped)) == []
    assert sum(not claim.holds for claim in report.claims(shipped)) <= 1
    for row in shipped["infill"]:
        if row["way"] == "infill_searched":
            row["exact"] = row["parsed"] = 0
    for row in shipped["revise"]:
        row["harmed"] = 10**6
    shipped["effort"][0]["exact"] = 10**6
    assert not any(claim.holds for claim in report.claims(shipped))
    assert len(unexpected(report.claims(shipped))) == len(report.claims(shipped)) - 1
