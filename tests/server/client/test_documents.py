"""The first pages' commands run as they stand, against the real server, and print the JSON that follows them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server.server import Server

ROOT = Path(__file__).parents[3]
PAGES = (
    "README.md",
    "docs/index.md",
    "docs/quickstart.md",
    "docs/guides/free-drafts.md",
    "docs/guides/infill.md",
    "docs/guides/revise.md",
    "docs/guides/clients.md",
)
PAIR = re.compile(
    r"(?<!<!-- smol -->\n)^```bash\n((?:(?!^```).)*)^```\n\n```json\n((?:(?!^```).)*)^```$", re.MULTILINE | re.DOTALL
)
"""A command, and straight after it what it prints; those for smol are test_smol_documents.py's."""
PAIRS = [
    pytest.param(command, shown, id=f"{page} {number}")
    for page in PAGES
    for number, (command, shown) in enumerate(PAIR.findall((ROOT / page).read_text(encoding="utf-8")), 1)
]
FROM_RUN_TO_RUN = {"cached_tokens", "timing"}  # what was asked before, and what the machine does
SECONDS = 120  # for one command; each takes a few


def test_the_first_pages_have_commands_with_their_output() -> None:
    assert {param.id.split()[0] for param in PAIRS} == set(PAGES)  # type: ignore[union-attr]


@pytest.mark.parametrize(("command", "shown"), PAIRS)
def test_the_command_prints_the_json_that_follows_it(server: Server, command: str, shown: str) -> None:
    assert "localhost:8000" in command
    here = re.sub(r"^make serve.*\n", "", command, flags=re.MULTILINE)
    here = here.replace("localhost:8000", f"127.0.0.1:{server.http_port}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = subprocess.check_output(
        ["bash", "-c", here], cwd=ROOT, env={**os.environ, "PATH": path}, text=True, timeout=SECONDS
    )
    assert settled(printed) == settled(shown)


def settled(text: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(text).items() if name not in FROM_RUN_TO_RUN}
