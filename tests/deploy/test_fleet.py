"""Three real servers behind HAProxy, on loopback: affinity, replacement, a kill; and `python -m scripts.fleet`."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.fleet.fleet import Fleet
from scripts.fleet.haproxy import HAProxy
from scripts.fleet.smg import Smg
from scripts.fleet.waiting import FleetError
from scripts.fleet_check import trials
from scripts.fleet_check.asking import SECONDS, Load, ask, chat
from tests.deploy.served import SERVING
from tests.server.server import free_ports, wait_until
from tests.support.layout import ROOT

REPLICAS = 3
MODEL = "nano"
PREFIXES, TURNS = 5, 4  # not in step with the servers
REQUESTS = 100
FETCH_SECONDS = 1200.0  # the scripts give their downloads 300 and 600 s


def fetched(router: str) -> Path:
    script = ROOT / "scripts" / f"fetch-{router}"
    done = subprocess.run([script], capture_output=True, text=True, timeout=FETCH_SECONDS)
    if done.returncode:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def haproxy() -> Path:
    return fetched("haproxy")


@pytest.fixture(scope="module")
def smg() -> Path:
    return fetched("smg")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket in it."""
    made = Path(tempfile.mkdtemp(prefix="fleet-", dir="/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture(scope="module")
def fleet(bundle: Path, haproxy: Path, folder: Path) -> Iterator[Fleet]:
    with Fleet(bundle, REPLICAS, HAProxy(haproxy, folder), python=str(SERVING)) as made:
        yield made


def test_affinity_doubles_the_hit_rate_of_turns(fleet: Fleet) -> None:
    found = trials.affinity(fleet, MODEL, PREFIXES, TURNS)
    assert found["affinity"] >= 2 * found["in_turns"] > 0, found
    assert found["failed"] == 0, found


def test_a_rolling_replacement_fails_no_request(fleet: Fleet) -> None:
    found = trials.replaced(fleet, MODEL, REQUESTS)
    assert (found["failed"], found["renewed"]) == (0, REPLICAS), found
    assert sum(found["by"].values()) == found["requests"] >= REQUESTS, found


def test_a_killed_server_ends_its_own_streams_alone(fleet: Fleet) -> None:
    found = trials.killed(fleet, MODEL)
    assert found["cut"] == found["of_the_victim"] > 0, found
    assert found["others_whole"] == found["others"], found
    assert found["answered_after"] == found["asked_after"], found
    assert found["failed_when_joined"] == 0, found


def test_one_address_has_every_mode_by_name_and_by_field(fleet: Fleet) -> None:
    found = trials.modes(fleet, MODEL)
    assert found["by_field"] == found["by_name"] == dict.fromkeys(trials.MODES, 200)
    assert found["counted"] == sorted(trials.MODES)


def test_a_server_that_cannot_be_replaced_leaves_the_others(fleet: Fleet) -> None:
    command, before = fleet.command, [one.process for one in fleet.replicas]
    fleet.command = [*command, "--bundle", "/no/such/bundle"]
    with Load(fleet, MODEL, REPLICAS) as load:
        with pytest.raises(FleetError, match=r"(?s)r0 ended: .*/no/such/bundle"):
            list(fleet.replace_all())
        load.goes_on(2 * REPLICAS)
    fleet.command = command
    assert load.failed() == []
    assert [one.process for one in fleet.replicas][1:] == before[1:]
    assert next(iter(fleet.replace_all())).name == "r0"  # the one that does not run is first
    assert fleet.router.sends_to(fleet.replicas[0])


def test_smg_goes_on_where_a_server_is_killed_or_replaced_and_passes_modes_by_field(bundle: Path, smg: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="fleet-", dir="/tmp") as folder,
        Fleet(bundle, 2, Smg(smg, Path(folder)), python=str(SERVING)) as fleet,
    ):
        asked = trials.modes(fleet, MODEL)
        assert (asked["by_field"], asked["counted"]) == (dict.fromkeys(trials.MODES, 200), sorted(trials.MODES))
        assert asked["by_name"] == dict.fromkeys(trials.MODES, 404)  # as the guide says: smg knows one name of a server
        found = trials.killed(fleet, MODEL)
        assert found["cut"] == found["of_the_victim"] > 0 and found["others_whole"] == found["others"], found
        assert (found["answered_after"], found["failed_when_joined"]) == (found["asked_after"], 0), found
        rolled = trials.replaced(fleet, MODEL, REQUESTS // 2)
        assert (rolled["failed"], rolled["renewed"]) == (0, 2), rolled


class Program:
    """`python -m scripts.fleet` with one server, and what it says."""

    def __init__(self, bundle: Path, log: Path) -> None:
        (self.port,) = free_ports(1)
        command = [
            str(SERVING),
            "-m",
            "scripts.fleet",
            "--bundle",
            str(bundle),
            "--replicas",
            "1",
            "--port",
            str(self.port),
        ]
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
        self.log = log

    def says(self, text: str, times: int = 1) -> None:
        def said() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.log.read_text().count(text) >= times

        wait_until(said, self.log.read_text, SECONDS)


def test_the_program_replaces_goes_on_where_it_cannot_and_leaves_nothing(
    bundle: Path, haproxy: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(bundle, tmp_path / "own")
    program = Program(own, tmp_path / "log")
    try:
        program.says("metrics at", 2)
        program.process.send_signal(signal.SIGHUP)
        program.says("r0 was replaced")
        own.rename(tmp_path / "away")
        program.process.send_signal(signal.SIGHUP)
        program.says("the other servers serve on; SIGHUP tries again")
        (tmp_path / "away").rename(own)
        program.process.send_signal(signal.SIGHUP)
        program.says("r0 was replaced", 2)
        assert ask(program.port, chat(MODEL, "Hello.")).status == 200
        below = psutil.Process(program.process.pid).children(recursive=True)
        for _ in range(3):
            program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(SECONDS) == 0, program.log.read_text()
        wait_until(lambda: not any(one.is_running() for one in below), lambda: f"{below} run", SECONDS)
    finally:
        program.process.kill()
        program.process.wait()
