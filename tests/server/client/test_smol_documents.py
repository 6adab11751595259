"""What the pages ask of smol runs as it stands, against a real server of smol, and prints the text that follows it.

Such a block stands behind a comment `<!-- smol -->`. Needs the file that `make build MODEL=smol` fetches.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from trimode_client.local_server import Addresses, serving
from trimode_convert.cli import main

from tests.support.layout import ROOT

GGUF = ROOT / yaml.safe_load((ROOT / "build" / "smol.yaml").read_text())["checkpoint"]
PAGES = ("README.md", "docs/quickstart.md", "docs/guides/openai.md", "docs/guides/streaming.md")
BLOCK = re.compile(
    r"^<!-- smol -->\n```(bash|python)\n((?:(?!^```).)*)^```\n\n```(?:json|text)\n((?:(?!^```).)*)^```$",
    re.MULTILINE | re.DOTALL,
)
BLOCKS = [
    pytest.param(*found, id=f"{page} {number}")
    for page in PAGES
    for number, found in enumerate(BLOCK.findall((ROOT / page).read_text(encoding="utf-8")), 1)
]
SECONDS = 300  # for one block; each takes a few


def test_every_page_asks_smol_something_that_is_run() -> None:
    assert {param.id.split()[0] for param in BLOCKS} == set(PAGES)  # type: ignore[union-attr]
    marked = sum((ROOT / page).read_text(encoding="utf-8").count("<!-- smol -->") for page in PAGES)
    assert len(BLOCKS) == marked


@pytest.fixture(scope="module")
def smol(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("smol")
    assert main([str(GGUF), "--out", str(folder / "bundle"), "--name", "smol", "--capacity", "1024"]) == 0
    with serving(folder / "bundle", folder / "server.log") as at:
        yield at


@pytest.mark.slow
@pytest.mark.skipif(not GGUF.is_file(), reason=f"needs {GGUF.name}, which make build MODEL=smol fetches")
@pytest.mark.parametrize(("language", "code", "shown"), BLOCKS)
def test_the_block_prints_what_follows_it(smol: Addresses, language: str, code: str, shown: str) -> None:
    here = code.replace("localhost:8000", smol.http).replace("localhost:8001", smol.grpc)
    command = ["bash", "-c", here] if language == "bash" else [sys.executable, "-c", here]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = subprocess.check_output(command, cwd=ROOT, env={**os.environ, "PATH": path}, text=True, timeout=SECONDS)
    assert printed.split() == shown.split()
