"""The routers that may stand in front of a fleet, by name, and the programs that they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .haproxy import HAProxy
from .router import Router
from .smg import Smg

SCRIPTS = Path(__file__).resolve().parents[1]
ROUTERS: dict[str, type[Router]] = {"haproxy": HAProxy, "smg": Smg}
"""Each has a script that gets it, fetch- and its name."""


def fetched(router: str) -> Path | None:
    """Return a router's program, or None where there is none, which its script says."""
    done = subprocess.run([SCRIPTS / f"fetch-{router}"], stdout=subprocess.PIPE, text=True)
    return None if done.returncode else Path(done.stdout.strip())
