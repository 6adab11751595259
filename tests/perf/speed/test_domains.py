"""Figures by domain."""

from __future__ import annotations

from trimode_perf.speed import domains


def test_counters_are_summed_before_they_are_divided() -> None:
    counters = [{"output_tokens": 9, "forwards": 1}, {"output_tokens": 1, "forwards": 9}]
    answers = [domains.Answer("d", "m", c, True, False, True) for c in counters]
    assert domains.figures(answers)["tokens_per_forward"] == 1.0


def test_answers_that_cannot_be_checked_are_not_wrong() -> None:
    assert domains.figures([domains.Answer("d", "m", {}, True, False, False)])["correct"] is None
