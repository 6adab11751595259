"""Real servers for clients that are not ours, in an environment of theirs: nano, with and without an API key."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.clients import KEY, OFFLINE, ROOT, SERVING, ClientsServer

os.environ.update(OFFLINE)


def pytest_configure(config: pytest.Config) -> None:
    """Let these clients warn as they like: what they warn of is not ours to mend."""
    config.addinivalue_line("filterwarnings", "ignore")
    warnings.simplefilter("ignore")  # also once the last test has ended


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not SERVING.exists():
        pytest.skip("nothing is installed that serves: make test-clients makes its environments")
    out = tmp_path_factory.mktemp("bundle") / "nano"
    command = [str(SERVING), "-m", "trimode_convert", str(ROOT / "checkpoints" / "nano"), "--out", str(out)]
    subprocess.run([*command, "--precision", "float32"], check=True, capture_output=True)
    return out


def served(bundle: Path, log: Path, *options: str) -> Iterator[ClientsServer]:
    with ClientsServer(bundle, log, "--exit-timeout", "4", "--served-model-name", "nano", *options) as made:
        yield made


@pytest.fixture(scope="session")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientsServer]:
    yield from served(bundle, tmp_path_factory.mktemp("open") / "log")


@pytest.fixture(scope="session")
def locked(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientsServer]:
    """A server that wants KEY."""
    yield from served(bundle, tmp_path_factory.mktemp("locked") / "log", "--api-key", KEY)
