"""The parts of `make fleet` that need no server: its time limits, its signals, how it ends a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.fleet import haproxy, router, signals, waiting
from scripts.fleet.fleet import Fleet
from scripts.fleet.replica import Replica


def test_the_routers_wait_longer_than_the_server_is_silent() -> None:
    (given,) = re.findall(r"^    timeout server (\d+)s", haproxy.CONFIG.read_text(encoding="utf-8"), re.MULTILINE)
    assert float(given) == router.SERVER_SECONDS


def test_the_configuration_has_the_addresses_of_the_fleet_alone(tmp_path: Path) -> None:
    made = haproxy.HAProxy(Path("haproxy"), tmp_path, 9000)
    replicas = [Replica(f"r{number}", 9100 + number, 0, 0, tmp_path) for number in range(2)]
    text = made.configuration(replicas)
    assert re.findall(r"^    (bind .*|server .*)$", text, re.MULTILINE) == [
        "bind 127.0.0.1:9000",
        "server r0 127.0.0.1:9100",
        "server r1 127.0.0.1:9101",
    ]


DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"


@pytest.mark.subprocess
@pytest.mark.parametrize(("program", "by_itself"), [(DEAF, False), ("print(); input()", True)])
def test_a_process_that_does_not_end_is_killed(program: str, by_itself: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert waiting.end(process, 60.0 if by_itself else 0.1) is by_itself
        assert process.returncode == (-signal.SIGTERM if by_itself else -signal.SIGKILL)


def test_signals_wait_for_the_end_of_what_must_not_be_interrupted() -> None:
    came: list[str] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: came.append("signal"))
    try:
        with signals.held_back({signal.SIGHUP}):
            os.kill(os.getpid(), signal.SIGHUP)
            came.append("inside")
        assert came == ["inside", "signal"]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_state_that_does_not_come_is_an_error_that_says_so() -> None:
    with pytest.raises(waiting.FleetError, match="it does not come"):
        waiting.wait(lambda: False, 0.0, lambda: "it does not come")


class Deaf(haproxy.HAProxy):
    """A router that takes no command."""

    def drain(self, replica: Replica) -> None:
        raise ConnectionRefusedError("no drain")

    def join(self, replica: Replica) -> None:
        raise ConnectionRefusedError("no join")


@pytest.mark.subprocess
def test_a_server_that_cannot_be_drained_says_the_first_error(tmp_path: Path) -> None:
    made = Fleet(tmp_path, 1, Deaf(Path("haproxy"), tmp_path))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        made.replicas[0].process = process
        with pytest.raises(waiting.FleetError, match="r0 was not replaced: no drain"):
            made.replace(made.replicas[0])
        assert process.poll() is None
        process.communicate(b"\n")
