"""Servers to hurt, what is recorded, and the bound on the time of the whole run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trimode_perf.common.results import about, commit, machine, rounded

from tests.faults.callers import CHAT, LONG, SHORT, over_http
from tests.faults.left import Belongings
from tests.server.server import Server

ROOT = Path(__file__).parents[2]
NANO = ROOT / "checkpoints" / "nano"
MOST_SECONDS = 1800.0
"""A test that would begin later than this does not run.

A whole run takes some six minutes alone on two cores, and 233 and 314 s were seen when it had fewer tests. This is five
times as long: a run that hangs ends, and one on a machine that does other things too does not.
"""
BEGAN = time.monotonic()
COMMAND = "make test-faults RECORD=perf/results/reliability.json"
Record = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-record", type=Path, metavar="FILE", help="write the times until it served again here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.subprocess)


@pytest.fixture(autouse=True)
def bounded(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--faults-record"):  # a record is of all of them
        return
    if time.monotonic() - BEGAN > MOST_SECONDS:
        text = f"the run has taken {MOST_SECONDS:.0f} s already"
        if os.environ.get("CI"):  # where nobody looks at what was skipped
            pytest.fail(text)
        pytest.skip(text)


@pytest.fixture(scope="session")
def bundle(bundle_of: Callable[..., Path]) -> Path:
    return bundle_of(NANO)


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start servers; those that still run at the end are ended in order, and none leaves anything behind."""
    servers: list[tuple[Server, Belongings]] = []

    def start(bundle: Path, *options: str, ready: bool = True, **environment: str) -> Server:
        log = tmp_path_factory.mktemp("server") / "log"
        server = Server(bundle, log, "--exit-timeout", "4", *options, **environment)
        if ready:
            server.wait_ready()
        servers.append((server, Belongings.of(server)))
        return server

    yield start
    for server, belongings in servers:
        belongings.look()
        if server.process.poll() is None:
            server.stop()
    for _, belongings in servers:
        belongings.wait_gone()


@pytest.fixture(scope="session")
def server(bundle: Path, starter: Callable[..., Server]) -> Server:
    """The server that most tests hurt; each waits until it serves again."""
    return starter(bundle)


@pytest.fixture(scope="session")
def right(server: Server) -> dict[str, str]:
    """The right texts of the short and the long request and of the chat, as an unhurt server gives them."""
    asked = {"short": SHORT, "long": LONG, "chat": CHAT}
    return {name: over_http(server, request).text for name, request in asked.items()}


@pytest.fixture(scope="session")
def stops() -> list[dict[str, Any]]:
    """What is recorded of ordinary stops: the requests that ran, the seconds until the end, the exit status."""
    return []


@pytest.fixture(scope="session")
def record(request: pytest.FixtureRequest, stops: list[dict[str, Any]]) -> Iterator[Record]:
    """Note one row: what happened, over which way, the seconds until a request was answered again (None: always)."""
    rows: list[dict[str, Any]] = []
    at = commit()

    def note(fault: str, over: str, seconds: float | None, **more: Any) -> None:
        rows.append({"fault": fault, "over": over, "seconds": seconds, **more})

    yield note
    if file := request.config.getoption("--faults-record"):
        head = about(COMMAND, machine()) | {"commit": at, "rows": rounded(rows), "stops": rounded(stops)}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(head, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
