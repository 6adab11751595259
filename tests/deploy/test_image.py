"""build/Dockerfile, as hadolint reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.layout import ROOT

HADOLINT = Path(sys.executable).parent / "hadolint"
SECONDS = 300.0


def checked(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    command = [str(HADOLINT), "--no-color", str(dockerfile)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = checked(ROOT / "build" / "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_finds_what_it_should(tmp_path: Path) -> None:
    (dockerfile := tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp && apt-get install curl\n")
    done = checked(dockerfile)
    assert done.returncode == 1
    assert "DL3006" in done.stdout
