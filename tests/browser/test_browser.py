"""The page in Chromium: the programs of this folder, each with tests of its own, against real servers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from trimode.server.playground.files import STATIC

from tests.browser.conftest import NODE

PROGRAMS = sorted(NODE.glob("*.test.mjs"))
OURS = sorted(path for path in STATIC.glob("*.js"))
SECONDS = 600.0


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name.partition(".")[0])
def test_the_page(path: Path, environment: dict[str, str]) -> None:
    command = ["node", "--test", "--test-reporter=tap", path.name]
    done = subprocess.run(command, cwd=NODE, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here: install Node.js 20 or newer")
def test_every_file_of_the_page_is_a_module_that_parses() -> None:
    for path in OURS:
        command = ["node", "--input-type=module", "--check"]
        done = subprocess.run(command, input=path.read_text(encoding="utf-8"), capture_output=True, text=True)
        assert done.returncode == 0, f"{path.name}: {done.stderr}"
