"""`python -m scripts.fleet`: serve until SIGINT or SIGTERM; SIGHUP replaces one server after the other."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from trimode.server.ports import LOOPBACK

from . import __doc__ as description
from .fleet import Fleet
from .routers import ROUTERS, fetched
from .signals import interrupt
from .waiting import POLL_SECONDS, FleetError, end_of

MOST_REPLICAS = 64


def main(arguments: list[str] | None = None) -> int:
    """Run the fleet until it is to end; return the exit status, 1 where it does not start or the router ends."""
    parser = argparse.ArgumentParser(prog="python -m scripts.fleet", description=description)
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="engine bundle to serve")
    parser.add_argument("--replicas", type=int, default=3, metavar="N", help="servers [%(default)s]")
    parser.add_argument("--router", choices=ROUTERS, default="haproxy", help="what is in front of them [%(default)s]")
    parser.add_argument("--port", type=int, default=8000, help="of the one address [%(default)s]")
    options = parser.parse_args(arguments)
    if not 1 <= options.replicas <= MOST_REPLICAS:
        parser.error(f"--replicas must be between 1 and {MOST_REPLICAS}, got {options.replicas}")
    program = fetched(options.router)
    if program is None:
        return 1
    wanted: list[int] = []
    signal.signal(signal.SIGTERM, interrupt)  # a kill must leave no server behind
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, lambda number, _: wanted.append(number))
    try:
        with (
            tempfile.TemporaryDirectory(prefix="fleet-", dir="/tmp") as folder,
            Fleet(
                options.bundle, options.replicas, ROUTERS[options.router](program, Path(folder), options.port)
            ) as fleet,
        ):
            show(fleet)
            watch(fleet, wanted)
    except FleetError as exc:
        print(f"fleet: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def show(fleet: Fleet) -> None:
    """Print the addresses."""
    where = f"http://{LOOPBACK}:{fleet.port}"
    print(f"{len(fleet.replicas)} servers behind {where}; logs in {fleet.router.folder}", flush=True)
    print(f"  {fleet.router.title}'s metrics at {fleet.router.metrics}", flush=True)
    for one in fleet.replicas:
        print(f"  {one.name}  {one.url}  metrics at {one.metrics}", flush=True)


def watch(fleet: Fleet, wanted: list[int]) -> NoReturn:
    """Replace the servers whenever something was put into `wanted`, and say which of them ended by themselves.

    Raises:
        FleetError: the router ended.
    """
    ended: set[str] = set()
    while True:
        time.sleep(POLL_SECONDS)
        fleet.router.check()
        for one in fleet.replicas:
            if one.runs():
                ended.discard(one.name)
            elif one.name not in ended:
                ended.add(one.name)
                print(
                    f"fleet: {one.name} ended; SIGHUP starts it again: {end_of(one.log)}", file=sys.stderr, flush=True
                )
        if wanted:
            wanted.clear()  # before the loop: a signal that comes while it runs is not lost
            replace_all(fleet)


def replace_all(fleet: Fleet) -> None:
    """Replace one server after the other, and say of each that it was. The others serve on where one cannot be."""
    try:
        for one in fleet.replace_all():
            print(f"  {one.name} was replaced", flush=True)
    except FleetError as exc:
        print(f"fleet: {exc}\nfleet: the other servers serve on; SIGHUP tries again", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
