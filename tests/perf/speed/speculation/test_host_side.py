"""A device that computes nothing, at tiny shapes: every mode runs, and drafts are right as often as they should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trimode_perf.speed.speculation import host_side


def test_every_mode_runs_and_drafts_are_right_as_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny = host_side.measure

    def measure(rows: tuple[int, ...], tokens: int) -> object:
        return tiny(rows, tokens, capacity=512, layers=1, vocab=101_000)

    monkeypatch.setattr(host_side, "measure", measure)
    out = tmp_path / "found.json"
    assert host_side.main(["--rows", "1", "2", "--tokens", "200", "--out", str(out)]) == 0
    found = {(row["mode"], row["rows"]): row for row in json.loads(out.read_text())["rows"]}
    assert set(found) == {(mode, rows) for mode in host_side.MODES for rows in (1, 2)}
    assert all(row["tokens"] == 200 * rows for (_, rows), row in found.items())
    assert found["autoregressive", 1]["passes"] == 200, "the prompt's pass gives the first token"
    assert 4 < 2 * found["self_speculation", 1]["tokens_a_pass"] < 10
    assert found["diffusion", 1]["tokens_a_pass"] > 1.3
