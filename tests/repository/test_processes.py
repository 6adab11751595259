"""A test that is not marked `subprocess` starts no process: whichever way it tries, it fails and says what mends it."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.layout import ROOT
from tests.support.processes import ProcessStartedError, without_processes


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def swallowed() -> None:
    with contextlib.suppress(Exception):
        subprocess.run(["true"], check=True)


WAYS: dict[str, tuple[Callable[[], object], str]] = {
    "subprocess": (lambda: subprocess.run(["true"], check=True), "subprocess.Popen"),
    "swallowed": (swallowed, "subprocess.Popen"),
    "asyncio": (lambda: asyncio.run(asyncio.create_subprocess_exec("true")), "subprocess.Popen"),
    "posix_spawn": (lambda: os.posix_spawn("/bin/true", ["true"], {}), "os.posix_spawn"),
    "system": (lambda: os.system("true"), "os.system"),
    "fork": (fork, "os.fork"),
    "exec": (lambda: os.execv("/no/such/file", ["file"]), "os.exec"),
    "multiprocessing, fork": (multiprocessing.get_context("fork").Process(target=print).start, "os.fork"),
    "multiprocessing, spawn": (multiprocessing.get_context("spawn").Process(target=print).start, "fork_exec"),
}


@pytest.mark.parametrize(("start", "event"), WAYS.values(), ids=WAYS)
@pytest.mark.subprocess
def test_every_way_to_start_a_process_is_heard(start: Callable[[], object], event: str) -> None:
    advice = r"@pytest\.mark\.subprocess, or add the name that starts it to STARTS"
    with (
        pytest.raises(ProcessStartedError, match=rf"a test starts a process, {event}\(.*{advice}"),
        without_processes("a test"),
    ):
        start()


@pytest.mark.subprocess
def test_what_was_started_before_and_after_is_nobodys() -> None:
    with without_processes("a test"):
        assert subprocess.__name__
    assert subprocess.run(["true"]).returncode == 0


TESTS = """
import os
import pytest

def test_unmarked():
    os.system("true")

@pytest.mark.subprocess
def test_marked():
    assert os.system("true") == 0

def test_that_fails_otherwise():
    assert 1 == 2
"""


@pytest.mark.subprocess
def test_an_unmarked_test_fails_and_a_marked_one_passes(tmp_path: Path) -> None:
    hooks = "from tests.conftest import pytest_collection_modifyitems, pytest_runtest_call\n"
    (tmp_path / "conftest.py").write_text(hooks)
    (tmp_path / "test_these.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = subprocess\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "2 failed, 1 passed" in done.stdout
    assert "ProcessStartedError: test_these.py::test_unmarked starts a process, os.system(" in done.stdout
    assert "assert 1 == 2" in done.stdout
