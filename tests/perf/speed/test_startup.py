"""A server that is started and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from trimode_perf.speed import startup


def test_memory_is_of_the_processes_below_one() -> None:
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # before it runs it holds nothing of its own
        held = startup.memory(child.pid)
        everything = startup.memory(os.getpid())
        child.communicate(b"\n")
    assert len(held) == 1
    assert 0 < sum(held.values()) < sum(everything.values())


def test_a_server_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "STOP_SECONDS", 0.1)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        startup._stop(process)
    assert process.returncode == -signal.SIGKILL
