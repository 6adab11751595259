"""The guide's page on these clients: what stands there is run, in order, and gives what stands below it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.clients import ROOT, ClientsServer, need

need("litellm")  # with which comes the environment of all the others
PAGE = (ROOT / "docs" / "guides" / "other-clients.md").read_text(encoding="utf-8")
SECTIONS = {title: text for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NODE = Path(__file__).parent / "node"
AIPERF = ROOT / ".venv-aiperf" / "bin"
FILE = re.compile(r"# ([\w-]+\.yaml)\n")
"""The first line of a file that a section shows."""


def ran(language: str, text: str, folder: Path) -> str:
    """Run a block of a language; return what it prints."""
    home = {"LLM_USER_PATH": str(folder), "HF_HOME": str(folder / "cache"), "AI_SDK_TELEMETRY_DISABLED": "1"}
    environment = {**os.environ, **home, "PATH": f"{Path(sys.executable).parent}:{AIPERF}:{os.environ['PATH']}"}
    if "aiperf" in text:  # it does not find a folder's tokenizer with this
        del environment["HF_HUB_OFFLINE"]
    command = {
        "python": [sys.executable, "-c", text],
        "javascript": ["node", "--input-type=module", "--eval", text],
        "bash": ["bash", "-euo", "pipefail", "-c", text],
    }[language]
    place = NODE if language == "javascript" else ROOT
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def skip_what_cannot_run(languages: set[str], text: str) -> None:
    if "javascript" in languages and not (shutil.which("node") and (NODE / "node_modules").exists()):
        pytest.skip("the clients of JavaScript are not installed: make test-clients installs them")
    if "aiperf profile" in text and not AIPERF.exists():
        pytest.skip("AIPerf is not installed here: make test-clients makes its environment")


def test_each_client_has_its_section() -> None:
    listed = re.findall(r"^\| \[[^]]+\]\(#([\w-]+)\)", PAGE, re.MULTILINE)
    assert [title.lower().replace(" ", "-") for title in SECTIONS] == listed


@pytest.mark.parametrize("title", SECTIONS)
def test_what_the_page_shows_is_what_happens(server: ClientsServer, tmp_path: Path, title: str) -> None:
    blocks = BLOCK.findall(SECTIONS[title])
    skip_what_cannot_run({language for language, _ in blocks}, SECTIONS[title])
    shown = ""
    for language, text in blocks:
        here = text.replace("http://localhost:8000", server.origin)
        if language == "yaml":
            found = FILE.match(text)
            assert found is not None
            (tmp_path / found[1]).write_text(here, encoding="utf-8")
        elif language != "text":
            shown = ran(language, here.replace("perf/out/", f"{tmp_path}/"), tmp_path)
        elif text.startswith("…\n"):  # some lines of what is printed
            lines = [line.rstrip() for line in shown.splitlines()]
            assert [line for line in text.splitlines()[1:] if line not in lines] == [], shown
        else:
            assert shown == text
