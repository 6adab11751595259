"""The clock of the wall jumps by a day, forward and back, for some of the processes: nobody notices."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Callable
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path

import psutil
import pytest

from tests.faults.callers import CHAT, LONG, SHORT, WAYS, Asking, over_http
from tests.faults.conftest import ROOT
from tests.server.server import Server, template_workers, wait_until
from tests.support.installed_triton import install_triton

ANSWER = {**LONG, "max_tokens": 60}  # the library makes passes some twenty times slower
JUMPS = ("+1d", "-1d", "+0")
OTHERS = {"the front": ("front",), "tritonserver and all below it": ("triton",), "all": ("front", "triton")}
"""Which processes jump, by the files that hold their clocks."""


@pytest.fixture(scope="session")
def faketime() -> str:
    """The library that gives a process another clock."""
    found = subprocess.run([ROOT / "scripts" / "fetch-faketime"], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(found.stderr.strip())
    return found.stdout.strip()


def clock_of(server: Server) -> float:
    """The front's own time, in seconds since 1970, as it says it in an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)) as connection:
        connection.request("GET", "/v2/health/live")
        return parsedate_to_datetime(connection.getresponse().headers["Date"]).timestamp()


def uses(process: psutil.Process, library: str) -> bool:
    return any(part.path == library for part in process.memory_maps())


@pytest.mark.parametrize("jumping", OTHERS)
def test_the_clock_jumps(
    bundle: Path, tmp_path: Path, starter: Callable[..., Server], right: dict[str, str], faketime: str, jumping: str
) -> None:
    """In the middle of answers and between them; limits, deadlines and watching go on as before."""
    clocks = {name: tmp_path / name for name in ("front", "triton")}
    for clock in clocks.values():
        clock.write_text("+0")
    installed = install_triton(tmp_path, f'FAKETIME_TIMESTAMP_FILE="{clocks["triton"]}" exec "$0" "$@"')
    faked = {"LD_PRELOAD": faketime, "FAKETIME_TIMESTAMP_FILE": str(clocks["front"]), "FAKETIME_NO_CACHE": "1"}
    limits = ("--requests-per-minute", "10000", "--tokens-per-minute", "10000000")
    server = starter(bundle, *limits, **installed, **faked, FAKETIME_DONT_FAKE_MONOTONIC="1")
    assert over_http(server, CHAT).text == right["chat"]
    processes = [psutil.Process(server.process.pid), server.triton, server.stub, *template_workers(server)]
    assert [process.name() for process in processes if not uses(process, faketime)] == []
    began = clock_of(server)
    for jump in JUMPS:
        asking = [Asking(server, way, ANSWER) for way in WAYS]
        for name in OTHERS[jumping]:
            clocks[name].write_text(jump)
        for asked in asking:
            answer = asked.answer()
            assert answer.whole, answer.error
            assert right["long"].startswith(answer.text)
        for way in WAYS.values():
            assert way(server, {**SHORT, "timeout_ms": 60_000}).text == right["short"]
        if "front" in OTHERS[jumping]:
            day = {"+": 86400, "-": -86400}[jump[0]] if jump != "+0" else 0
            wait_until(lambda: abs(clock_of(server) - began - day) < 3600, lambda: "its clock did not jump")  # noqa: B023
    assert over_http(server, CHAT).text == right["chat"]
    assert [process for process in processes if not process.is_running()] == []
    assert server.stop() == 0
    assert "restart" not in server.log.read_text()
