"""What the tests in a browser need: a Chromium, Node.js with its packages, two servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import bundle as bundle
from tests.server.server import Server
from tests.support.layout import ROOT

NODE = Path(__file__).parent
KEY = "the-key-of-these-tests"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; skip where there is none, or nothing to drive it with."""
    if shutil.which("node") is None:
        pytest.skip("there is no node here: install Node.js 20 or newer")
    if not (NODE / "node_modules").exists():
        pytest.skip("playwright-core is not installed: make test-browser installs it, where there is npm")
    done = subprocess.run([ROOT / "scripts" / "fetch-chromium"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    return done.stdout.strip()


@pytest.fixture(scope="session")
def environment(chromium: str, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a program of this folder is started with."""
    folder = tmp_path_factory.mktemp("servers")
    with (
        Server(bundle, folder / "open", "--exit-timeout", "4", "--served-model-name", "nano") as server,
        Server(bundle, folder / "locked", "--exit-timeout", "4", "--api-key", KEY) as locked,
    ):
        given = {
            "origin": f"http://127.0.0.1:{server.http_port}",
            "locked": f"http://127.0.0.1:{locked.http_port}",
            "metrics": f"http://127.0.0.1:{server.metrics_port}/metrics",
            "key": KEY,
        }
        yield {**os.environ, "CHROMIUM": chromium, "GIVEN": json.dumps(given)}
