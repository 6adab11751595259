"""How far a step is, where there is no terminal: lines, not too many."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from trimode_convert import progress


def test_without_a_terminal_it_says_a_line_each_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    said = io.StringIO()
    with progress.progress(Console(file=said), "writing", 10_000_000) as advance:
        for second in range(1, 11):
            now[0] = float(second)
            advance(1_000_000)
    assert said.getvalue() == "writing: 5 of 10 MB\nwriting: 10 of 10 MB\n"


def test_a_quick_step_says_nothing_and_a_compiler_its_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    with progress.progress(Console(file=said), "reading", 1) as advance:
        advance(1)
    assert said.getvalue() == ""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with progress.phases(Console(file=said)) as report:
        report("building", 2, 7)
    assert said.getvalue() == "compiling: building: 2 of 7\n"
