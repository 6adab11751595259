"""What the tests of deploy/ need: tools that scripts/fetch-deploy-tools gets, and nano's bundle; each skip says why."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.deploy.chart import Chart
from tests.deploy.served import SERVING
from tests.support.layout import ROOT

FETCH_SECONDS = 1800.0  # the script gives each of its downloads 300 s, and there are four
CONVERT_SECONDS = 600.0  # nano takes a few seconds; machines are busy


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the tools; what could not be fetched is not in it."""
    command = [ROOT / "scripts" / "fetch-deploy-tools"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=FETCH_SECONDS)
    return Path(done.stdout.strip())


def tool(tools: Path, name: str) -> Path:
    if not (tools / name).exists():
        pytest.skip(f"there is no {name} here: scripts/fetch-deploy-tools says why")
    return tools / name


@pytest.fixture(scope="session")
def helm(tools: Path) -> Path:
    return tool(tools, "helm")


@pytest.fixture(scope="session")
def chart(helm: Path) -> Chart:
    return Chart(helm)


@pytest.fixture(scope="session")
def promtool(tools: Path) -> Path:
    return tool(tools, "promtool")


@pytest.fixture(scope="session")
def prometheus(tools: Path) -> Path:
    return tool(tools, "prometheus")


@pytest.fixture(scope="session")
def alertmanager(tools: Path) -> Path:
    return tool(tools, "prometheus-alertmanager")


@pytest.fixture(scope="session")
def kserve_models(tools: Path) -> Path:
    return tool(tools, "kserve-models")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "nano"
    command = [str(SERVING), "-m", "trimode_convert", str(ROOT / "checkpoints" / "nano"), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=CONVERT_SECONDS)
    return out
