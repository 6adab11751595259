"""`make soak MINUTES=n`: a server under mixed load of twelve callers; every answer is compared.

Each request is asked once by itself first. Writes perf/results/soak.json and its plot, from which
`python -m scripts.render_reliability` makes perf/RELIABILITY.md. That of nano-vlm is soak_pictures.json; other models
and precisions have names of their own, and no place in it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode_client.errors import TrimodeClientError
from trimode_client.local_server import Addresses, serving

from ..common import BUNDLE, MODEL_YAML, NANO, PERF, WORK
from ..common.claims import conclusion
from ..common.progress import MeasureError, progress, run
from ..common.prompts import HELD_OUT, load, spread
from ..common.results import about, commit, describe, rounded, save
from .bound import bound
from .load import CALLERS, Load, ask_alone
from .plot import draw
from .report import claims, name_of
from .requests import catalogue
from .watch import Watch, look, running

PROMPTS, PER_DOMAIN = 96, 40
SETTLE_SECONDS = 60.0
"""For requests whose callers left to end, and for connections that are idle to close."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf soak", description=__doc__)
    made.add_argument("--minutes", type=float, default=20.0, metavar="N", help="of load [%(default)s]")
    made.add_argument("--checkpoint", type=Path, default=NANO, metavar="DIR", help="[checkpoints/nano]")
    made.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="[build/out/nano-float32]")
    made.add_argument("--out", type=Path, default=PERF, metavar="DIR", help="[perf]")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run it; return 0, 1 where a claim does not hold or something failed, or 130 when interrupted."""
    options = parser().parse_args(arguments)
    return run("soak", lambda: soak(options), TrimodeError, TrimodeClientError)


def soak(options: argparse.Namespace) -> int:
    """Load a server, write what was found, and return the status."""
    manifest, config = Manifest.load(options.bundle), ServerConfig.load(MODEL_YAML)
    model = "" if manifest.model == "nano" else f"MODEL={manifest.model} "
    precision = "" if manifest.precision == "float32" else f"PRECISION={manifest.precision} "
    found: dict[str, Any] = about(f"make soak {model}{precision}MINUTES={options.minutes:g}")
    found |= {"commit": commit(), "machine": describe(manifest, config), "callers": CALLERS}
    with serving(options.bundle, WORK / "soak.log") as at:
        found |= measure(at, manifest, options)
    found["bound_mib"] = bound(manifest, config)
    name = name_of(found)
    save(options.out / f"results/{name}.json", rounded(found))
    draw(found, options.out / f"plots/{name}.png")
    return conclusion(claims(found))


def measure(at: Addresses, manifest: Manifest, options: argparse.Namespace) -> dict[str, Any]:
    """Ask each request alone, then all of them together for so many minutes; return what came and what was held."""
    prompts = spread(load(options.checkpoint / HELD_OUT, PER_DOMAIN), PROMPTS)
    requests = catalogue(prompts, manifest)
    with progress(len(requests), "asking each request alone") as bar:
        right = ask_alone(at, manifest.model, requests, bar.step)
    before = settled(at)
    seconds = options.minutes * 60
    with (
        progress(seconds, "under load") as bar,
        Watch(at.pid, at.http) as watch,
        Load(at, manifest.model, requests, right) as load_,
    ):
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds and not load_.over.wait(1):
            bar.at(passed, f"under load, {sum(load_.tally.answered.values())} answers")
    after = settled(at)
    return {"requests": len(requests), **vars(load_.tally), "before": before, "after": after, "minutes": watch.minutes}


def settled(at: Addresses) -> dict[str, Any]:
    """Return what the server holds once nothing runs in it any more.

    Raises:
        MeasureError: something still runs.
    """
    ends = time.monotonic() + SETTLE_SECONDS
    while running(at.http):
        if time.monotonic() > ends:
            raise MeasureError(f"requests still run {SETTLE_SECONDS:.0f} s after the last was answered")
        time.sleep(0.5)
    time.sleep(2)  # connections are closed, and what is counted is published
    return look(at.pid, at.http)
