"""What the command asks, and what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_perf.common import PERF
from trimode_perf.common.prompts import Prompt, claimed
from trimode_perf.editing import run

from tests.support.toy import ToyEngine, toy_runtime


def test_every_prompt_is_asked_in_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MAX_TOKENS", 6)
    monkeypatch.setattr(run, "EFFORTS", ())  # a toy engine has no table of them
    runtime, counted = toy_runtime(ToyEngine()), list[str]()
    try:
        (row,) = run.along_effort(runtime, [Prompt("d", text="ab", answer="?")] * 3, counted.append)
    finally:
        runtime.close()
    assert (row["mode"], row["asked"], row["tokens"]) == ("autoregressive", 3, 18)
    assert counted == ["effort autoregressive"] * 3


def test_what_is_hidden_alone_has_no_question(prompts: list[Prompt]) -> None:
    sets = run.hidden_parts(claimed(prompts), 0)
    assert sets["human_eval"] == [] and len(sets["alone"]) >= len(sets["lines"]) > 0
    assert {item.messages for item in sets["alone"]} == {None}


def test_the_report_is_written_again_from_the_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / run.RESULTS).write_bytes((PERF / run.RESULTS).read_bytes())
    assert run.main(["--report-only", "--out", str(tmp_path)]) == 0
    for name in ("EDITING.md", run.RESULTS, "plots/effort.png"):
        assert (tmp_path / name).read_bytes() == (PERF / name).read_bytes()
    assert "editing: wrote" in capsys.readouterr().out
