"""What the command writes, and what not."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trimode.bundle.manifest import Manifest
from trimode_perf.quality import card, run, settings


def test_the_command_writes_the_card_again(
    results: dict[str, Any], checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint / "quality.json").write_text(json.dumps(results))
    assert run.main(["--card-only", "--checkpoint", str(checkpoint)]) == 0
    assert (checkpoint / "README.md").read_text() == card.text(checkpoint, results)
    assert {path.name for path in (checkpoint / "plots").iterdir()} == {"accuracy.png", "acceptance.png"}
    assert capsys.readouterr().out.count("pass  ") == 9


def test_an_interrupted_command_writes_nothing(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "measure", interrupted)
    monkeypatch.setattr(Manifest, "load", lambda *_: SimpleNamespace(denoises=True))
    monkeypatch.setattr(settings.Plan, "load", lambda *_: SimpleNamespace(parts=lambda: [("table", 1)]))
    out = tmp_path / "out"
    assert run.main(["--checkpoint", str(checkpoint), "--out", str(out)]) == 130
    assert not out.exists()
