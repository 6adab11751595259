"""What an installation brings: the client alone, without an engine and beside any numpy."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

from tests.support.layout import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SERVERS = ("onnxruntime", "tokenizers", "regex", "jinja2", "yaml", "onnx", "psutil", "prometheus_client")
"""Modules that the client must do without; numpy, ml_dtypes and aiohttp are tritonclient's own."""


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found
    return found[0]


def test_the_base_installation_is_the_clients() -> None:
    assert {name_of(item) for item in PROJECT["dependencies"]} == {
        "tritonclient",
        "grpcio",
        "httpx",
        "rich",
    }
    assert not [item for item in PROJECT["dependencies"] if "==" in item]


def test_the_tested_versions_lie_in_the_ranges() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in constraints if line and not line.startswith("#"))
    assert set(tested) == {name_of(item) for item in PROJECT["dependencies"]}
    for item in PROJECT["dependencies"]:
        low, high = (tuple(map(int, bound.split("."))) for bound in re.findall(r"[<>]=?([0-9.]+)", item))
        assert low <= tuple(map(int, tested[name_of(item)].split("."))) < high


def test_the_client_imports_where_nothing_of_the_server_is_installed() -> None:
    blocked = f"import sys\nfor name in {SERVERS}: sys.modules[name] = None\n"
    modules = "trimode_client, trimode_client.cli.main, trimode_client.transports.http"
    code = f"{blocked}import {modules}, trimode_client.transports.grpc_async\nprint('imported')"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "imported\n"


def test_a_client_loads_the_library_of_its_own_protocol_alone() -> None:
    code = "import sys, trimode_client.cli.main\nprint(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not set(loaded) & {*SERVERS, "numpy", "grpc", "tritonclient", "httpx", "aiohttp", "urllib3"}
