"""What int8 is compared by, on toy engines."""

from __future__ import annotations

import pytest
from trimode_perf.speed import Context, int8
from trimode_perf.speed.layers import ask_runtime


def test_answers_of_both_precisions_are_compared(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    context.seconds = 60.0
    ask = ask_runtime  # the toy engine counts no seconds of its own
    monkeypatch.setattr(int8, "ask_runtime", lambda *given: (*ask(*given)[:2], 0.5))
    found = int8.compare({"float32": context.runtime, "int8": context.runtime}, context.prompts, context)
    assert found["answers"] == len(context.prompts)
    assert found["float32"]["differing_answers"] == found["speculation"]["differing_answers"] == 0
