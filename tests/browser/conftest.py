"""What the tests in a browser need: a Chromium, Node.js with its packages, three servers, one of two models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.conftest import bundle as bundle
from tests.server.server import Server
from tests.server.several_models import triton_of
from tests.support.layout import ROOT
from tests.support.picture_checkpoints import KIT, write

NODE = Path(__file__).parent
KEY = "the-key-of-these-tests"
MOST_IMAGES, BODY_MIB = "3", "1"
"""Limits of the server whose first model reads pictures: small ones, so that a test can go over them."""


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
def environment(
    chromium: str, bundle: Path, bundle_of: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What a program of this folder is started with."""
    folder = tmp_path_factory.mktemp("servers")
    eye = bundle_of(write(folder / "eye"))
    names = ("--served-model-name", "eye", "--served-model-name", "nano")
    limits = ("--exit-timeout", "4", "--max-body-mib", BODY_MIB)
    with (
        Server(bundle, folder / "open", "--exit-timeout", "4", "--served-model-name", "nano") as server,
        Server(bundle, folder / "locked", "--exit-timeout", "4", "--api-key", KEY) as locked,
        Server(
            eye, folder / "sighted", "--bundle", str(bundle), *names, *limits, TRIMODE_MAX_IMAGES=MOST_IMAGES
        ) as sighted,
    ):
        given = {
            "origin": f"http://127.0.0.1:{server.http_port}",
            "locked": f"http://127.0.0.1:{locked.http_port}",
            "sighted": f"http://127.0.0.1:{sighted.http_port}",
            "images": str(KIT / "images"),
            "python": sys.executable,
            "second": triton_of(sighted, "nano").pid,
            "key": KEY,
        }
        yield {**os.environ, "CHROMIUM": chromium, "GIVEN": json.dumps(given)}
