"""What the tests of deploy/ need: tools that scripts/fetch-deploy-tools gets, and nano's bundle; each skip says why."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deploy.chart import Chart
from tests.deploy.served import SERVING
from tests.support.layout import ROOT

FETCH_SECONDS = 1800.0  # the script gives each of its downloads 300 s, and there are four
CONVERT_SECONDS = 600.0  # nano takes a few seconds; machines are busy


class Tools(NamedTuple):
    """The folder of the tools, and why those that could not be fetched are not in it."""

    folder: Path
    missing: str


@pytest.fixture(scope="session")
def tools() -> Tools:
    command = [ROOT / "scripts" / "fetch-deploy-tools"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS)
    assert done.returncode == 0, done.stderr
    own = [line for line in done.stderr.splitlines() if line.startswith("fetch-deploy-tools: ")]
    return Tools(Path(done.stdout.strip()), "; ".join(own))


def tool(tools: Tools, name: str) -> Path:
    if not (tools.folder / name).exists():
        pytest.skip(f"there is no {name} here: {tools.missing}")
    return tools.folder / name


@pytest.fixture(scope="session")
def helm(tools: Tools) -> Path:
    return tool(tools, "helm")


@pytest.fixture(scope="session")
def chart(helm: Path) -> Chart:
    return Chart(helm)


@pytest.fixture(scope="session")
def promtool(tools: Tools) -> Path:
    return tool(tools, "promtool")


@pytest.fixture(scope="session")
def prometheus(tools: Tools) -> Path:
    return tool(tools, "prometheus")


@pytest.fixture(scope="session")
def alertmanager(tools: Tools) -> Path:
    return tool(tools, "prometheus-alertmanager")


@pytest.fixture(scope="session")
def kserve_models(tools: Tools) -> Path:
    return tool(tools, "kserve-models")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "nano"
    command = [str(SERVING), "-m", "trimode_convert", str(ROOT / "checkpoints" / "nano"), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=CONVERT_SECONDS)
    return out
