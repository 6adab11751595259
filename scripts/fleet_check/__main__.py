"""`make fleet-check`: hurt a fleet of real servers under load; write perf/results/fleet.json and perf/FLEET.md."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from trimode_perf.common import BUNDLE, PERF
from trimode_perf.common.claims import Claim, conclusion
from trimode_perf.common.results import about, machine, read, rounded, save
from trimode_perf.soak.run import commit

from ..fleet.__main__ import ROUTERS, fetched, interrupt
from ..fleet.fleet import Fleet
from ..fleet.waiting import FleetError
from . import report, trials

RECORD = PERF / "results" / "fleet.json"
PAGE = PERF / "FLEET.md"
REPLICAS = 3
PREFIXES, TURNS = 20, 4  # 20 is no multiple of the servers; with many turns every server has read every text
SLOW = 300
QUEUE, BURST = 4, 120  # places in each server's queue; more requests than slots and places of all
MODEL = "nano"


def main(arguments: list[str] | None = None) -> int:
    """Measure each router that was asked for and keep the others' figures; return 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m scripts.fleet_check", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="nano's [build/out/nano-float32]")
    parser.add_argument("--router", choices=ROUTERS, action="append", help="may be repeated [all]")
    parser.add_argument("--requests", type=int, default=report.REQUESTS, metavar="N", help="[%(default)s]")
    options = parser.parse_args(arguments)
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
        keep(title, measured | found)
        claims += report.claims(title, found, options.requests)
    return conclusion(claims)


def measure(router: str, program: Path, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return a router's title and what came of all trials with it."""
    environment = {"TRIMODE_MAX_QUEUE": str(QUEUE)}
    with (
        tempfile.TemporaryDirectory(prefix="fleet-", dir="/tmp") as folder,
        Fleet(options.bundle, REPLICAS, ROUTERS[router](program, Path(folder)), environment=environment) as fleet,
    ):
        found: dict[str, Any] = {}
        for name, trial in {
            "affinity": lambda: trials.affinity(fleet, MODEL, PREFIXES, TURNS),
            "killed": lambda: trials.killed(fleet, MODEL),
            "modes": lambda: trials.modes(fleet, MODEL),
            "slow": lambda: trials.slow(fleet, MODEL, SLOW),
            "overloaded": lambda: trials.overloaded(fleet, MODEL, BURST),
            "replaced": lambda: trials.replaced(fleet, MODEL, options.requests),
        }.items():
            found[name] = trial()
            print(f"{fleet.router.title}: {name} {found[name]}", flush=True)
        return fleet.router.title, found


def keep(title: str, found: dict[str, Any]) -> None:
    """Write the record with this router's figures, and the page."""
    record = read(RECORD) if RECORD.is_file() else {}
    save(RECORD, rounded({**record, title: found}))
    PAGE.write_text(report.page(read(RECORD)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
