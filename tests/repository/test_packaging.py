"""What an installation brings: the client alone, beside any numpy; one version; every tested version in its range."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
import trimode
from trimode.server.playground.files import STATIC

from tests.support.layout import PACKAGES, ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
SERVERS = ("onnxruntime", "tokenizers", "regex", "jinja2", "yaml", "onnx", "psutil", "prometheus_client")
"""Modules that the client must do without; numpy, ml_dtypes and aiohttp are tritonclient's own."""
EXACT = {"reasoning-gym", "networkx"}
"""Packages whose version decides the text of the held-out files, so that only one will do."""


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found
    return found[0].lower().replace("_", "-")


REQUIREMENTS = [
    item for group in (PROJECT["dependencies"], *EXTRAS.values()) for item in group if name_of(item) != "trimode"
]
TESTED = {
    name_of(line): line.split("==")[1]
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def test_the_wheel_has_every_file_of_the_page() -> None:
    """Hatchling takes what lies in a package's folder, unless git ignores it."""
    assert "python_backend/trimode" in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert not {"exclude", "include", "only-include"} & set(PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"])
    files = [str(path) for path in STATIC.rglob("*") if path.is_file()]
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True)
    assert files and ignored.stdout == "" and ignored.returncode == 1, ignored.stderr


def test_the_base_installation_is_the_clients() -> None:
    assert {name_of(item) for item in PROJECT["dependencies"]} == {"tritonclient", "grpcio", "httpx", "rich"}


def test_the_extras_are_those_that_the_documents_name() -> None:
    assert sorted(EXTRAS) == [
        "convert",
        "docs",
        "gpu",
        "lint",
        "peers",
        "perf",
        "serve",
        "tensorrt-rtx",
        "test",
        "torch",
        "tracing",
        "train",
    ]


@pytest.mark.parametrize("item", REQUIREMENTS, ids=name_of)
def test_the_tested_version_lies_in_the_range(item: str) -> None:
    tested = TESTED[name_of(item)]
    bounds = re.findall(r"(<|>=|==)([0-9.]+)", item.partition(";")[0])
    for sign, bound in bounds:
        have, limit = numbers(tested), numbers(bound)
        assert {"<": have < limit, ">=": have >= limit, "==": have == limit}[sign]
    assert ("==" in item) == (name_of(item) in EXACT)


def test_every_dependency_says_what_it_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tables = text.partition("dependencies = [")[2].partition("[dependency-groups]")[0]
    silent = [line for line in tables.splitlines() if line.startswith('    "') and "#" not in line]
    assert silent == []


def test_the_version_stands_in_one_place() -> None:
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "python_backend/trimode/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", trimode.__version__)
    assert "version" not in PROJECT


def test_the_client_imports_where_nothing_of_the_server_is_installed() -> None:
    blocked = f"import sys\nfor name in {SERVERS}: sys.modules[name] = None\n"
    modules = "trimode_client, trimode_client.cli.main, trimode_client.transports.http"
    code = f"{blocked}import {modules}, trimode_client.transports.grpc_async\nprint('imported')"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "imported\n"


def test_a_client_loads_the_library_of_its_own_protocol_alone() -> None:
    code = "import sys, trimode_client.cli.main\nprint(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not set(loaded) & {*SERVERS, "numpy", "grpc", "tritonclient", "httpx", "aiohttp", "urllib3"}


@pytest.mark.parametrize("name", ["trimode", "trimode_client", "trimode_convert"])
def test_users_of_a_package_get_its_types(name: str) -> None:
    assert (PACKAGES[name] / "py.typed").is_file()


@pytest.mark.parametrize("module", ["trimode.server", "trimode_client.cli.main", "trimode_convert"])
def test_every_command_says_its_version(module: str) -> None:
    code = f"import sys; sys.argv[1:] = ['--version']; import runpy; runpy.run_module({module!r}, run_name='__main__')"
    if module == "trimode_client.cli.main":
        code = f"import sys; from {module} import main; main(['--version'])"
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said == f"trimode {trimode.__version__}\n"
