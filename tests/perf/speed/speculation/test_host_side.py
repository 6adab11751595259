"""A device that computes nothing, at tiny shapes: every mode runs, and drafts are right as often as they should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trimode_perf.speed.speculation import host_side


def test_every_mode_runs_and_drafts_are_right_as_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny = host_side.measure

    def measure(engine: str, rows: tuple[int, ...], tokens: int) -> object:
        return tiny(engine, rows, tokens, capacity=512, layers=1, vocab=101_000)

    monkeypatch.setattr(host_side, "measure", measure)
    out = tmp_path / "found.json"
    assert host_side.main(["--rows", "1", "2", "--tokens", "200", "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert written["command"] == "python -m trimode_perf host-side --engine tensorrt --out perf/results/host_side.json"
    assert written["hardware"]["engine"] == "TensorRT without a device"
    assert {row["engine"] for row in written["rows"]} == {"tensorrt"}
    found = {(row["mode"], row["rows"]): row for row in written["rows"]}
    assert set(found) == {(mode, rows) for mode in host_side.MODES for rows in (1, 2)}
    assert all(row["tokens"] == 200 * rows for (_, rows), row in found.items())
    assert found["autoregressive", 1]["passes"] == 200, "the prompt's pass gives the first token"
    assert 4 < 2 * found["self_speculation", 1]["tokens_a_pass"] < 10
    assert found["diffusion", 1]["tokens_a_pass"] > 1.3


def test_an_engine_that_cannot_be_imported_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object) -> object:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(host_side, "measure", missing)
    assert host_side.main(["--engine", "torch"]) == 1
    assert "host-side: needs torch, which " in capsys.readouterr().err
