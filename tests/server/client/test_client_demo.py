"""`make demo`, the whole of it: a server of its own, one prompt, three modes, no server left."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_client.cli.demo import main


def test_the_demo_shows_every_mode(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bundle", str(bundle), "--max-tokens", "8"]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[-4:-1]]
    assert rows == ["autoregressive", "diffusion", "self_speculation"]


def test_a_bundle_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bundle", str(tmp_path)]) == 1
    assert "no engine bundle at" in capsys.readouterr().err
