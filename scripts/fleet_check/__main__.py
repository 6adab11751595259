"""`make fleet-check`: hurt a fleet of real servers under load; write perf/results/fleet.json and perf/FLEET.md."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimode_perf.common import BUNDLE, PERF
from trimode_perf.common.claims import Claim, conclusion
from trimode_perf.common.results import about, commit, machine, read, rounded, save

from ..fleet.fleet import Fleet
from ..fleet.routers import ROUTERS, fetched
from ..fleet.signals import interrupt
from ..fleet.waiting import FleetError
from . import report, trials

RECORD = PERF / "results" / "fleet.json"
PAGE = PERF / "FLEET.md"
REPLICAS = 3
PREFIXES, TURNS = 20, 4  # 20 is no multiple of the servers; with many turns every server has read every text
SLOW = 300
QUEUE, BURST = 4, 120  # places in each server's queue; more requests than slots and places of all
MODEL = "nano"
INTERRUPTED = 130  # as a shell says it of SIGINT
TRIALS: dict[str, Callable[[Fleet, int], dict[str, Any]]] = {
    "affinity": lambda fleet, _: trials.affinity(fleet, MODEL, PREFIXES, TURNS),
    "killed": lambda fleet, _: trials.killed(fleet, MODEL),
    "modes": lambda fleet, _: trials.modes(fleet, MODEL),
    "slow": lambda fleet, _: trials.slow(fleet, MODEL, SLOW),
    "overloaded": lambda fleet, _: trials.overloaded(fleet, MODEL, BURST),
    "replaced": lambda fleet, requests: trials.replaced(fleet, MODEL, requests),
}
"""Each with a fleet, and with the requests of a rolling replacement."""


def main(arguments: list[str] | None = None) -> int:
    """Measure each router that was asked for and keep the others' figures; return 1 where one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m scripts.fleet_check", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="nano's [build/out/nano-float32]")
    parser.add_argument("--router", choices=ROUTERS, action="append", help="may be repeated [all]")
    parser.add_argument("--trial", choices=TRIALS, action="append", help="of which the others' figures stay [all]")
    parser.add_argument("--requests", type=int, default=report.REQUESTS, metavar="N", help="[%(default)s]")
    options = parser.parse_args(arguments)
    record = read(RECORD) if RECORD.is_file() else {}
    new = [router for router in options.router or ROUTERS if ROUTERS[router].title not in record]
    if options.trial and new:
        parser.error(f"--trial renews figures that are there, and there are none with {', '.join(new)}")
    signal.signal(signal.SIGTERM, interrupt)  # a kill must leave no server behind
    signal.signal(signal.SIGINT, interrupt)
    claims: list[Claim] = []
    measured = about("make fleet-check", machine()) | {"commit": commit(), "replicas": REPLICAS}
    for router in options.router or ROUTERS:
        program = fetched(router)
        if program is None:
            return 1
        try:
            title, found = measure(router, program, options)
        except FleetError as exc:
            print(f"fleet-check: {exc}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return INTERRUPTED
        claims += report.claims(title, keep(title, measured | found), options.requests)
    return conclusion(claims)


def measure(router: str, program: Path, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return a router's title and what came of all trials with it."""
    environment = {"TRIMODE_MAX_QUEUE": str(QUEUE)}
    with (
        tempfile.TemporaryDirectory(prefix="fleet-", dir="/tmp") as folder,
        Fleet(options.bundle, REPLICAS, ROUTERS[router](program, Path(folder)), environment=environment) as fleet,
    ):
        found: dict[str, Any] = {}
        for name in options.trial or TRIALS:
            found[name] = TRIALS[name](fleet, options.requests)
            print(f"{fleet.router.title}: {name} {found[name]}", flush=True)
        return fleet.router.title, found


def keep(title: str, found: dict[str, Any]) -> dict[str, Any]:
    """Write the record with this router's figures, and the page; return all of its figures.

    What was measured earlier stays where it was not measured again. Only a run of all trials drops earlier commits.
    """
    record = read(RECORD) if RECORD.is_file() else {}
    before = record.get(title, {}) if any(name not in found for name in TRIALS) else {}
    commits = {*before.get("commit", "").split(", "), found["commit"]} - {""}
    record[title] = before | found | {"commit": ", ".join(sorted(commits))}
    save(RECORD, rounded(record))
    PAGE.write_text(report.page(record), encoding="utf-8")
    all_of_it: dict[str, Any] = record[title]
    return all_of_it


if __name__ == "__main__":
    sys.exit(main())
