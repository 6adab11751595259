"""`python -m trimode_perf fuzz-pictures`: random pictures and URLs through the loader of requests, with no server.

Writes perf/results/fuzz_pictures.json, from which `python -m scripts.render_reliability` makes a part of
perf/RELIABILITY.md. The tower makes rows of averages: what is tried is all that comes before it.
"""

from __future__ import annotations

import argparse
import base64
import multiprocessing
import random
import resource
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
from trimode.api.rows.images import ImageSource
from trimode.bundle.vision_facts import VisionFacts
from trimode.engines.base import Floats
from trimode.errors import RequestError, TrimodeError
from trimode.vision.addresses import AllowedHosts
from trimode.vision.encoder import Encoder
from trimode.vision.fetch import Fetcher
from trimode.vision.limits import ImageLimits
from trimode.vision.loader import Loader
from trimode.vision.until import Until

from ..common import PERF
from ..common.claims import Claim, conclusion
from ..common.progress import progress, run
from ..common.results import about, commit, machine, rounded, save
from .pictures import picture, url

RESULTS = "results/fuzz_pictures.json"
FACTS = VisionFacts(patch=14, merge=2, side=110, start=18, pad=19, row_break=20, end=21)
LIMITS = ImageLimits(most_pixels=2_000_000)
NAMED = "localhost,127.0.0.1"
"""The hosts that may be asked: both lead to this machine, whose addresses are not public."""
SIZES = (28, 112, 560)
MOST_GROWTH_MIB = 512.0
"""Memory by which the process may grow: a picture of the most pixels takes some 20 MiB."""
BAD = ("bad_image", "bad_image_url")
WHAT = ("pictures", "URLs")
Found = Mapping[str, Any]


class Averages:
    """A tower whose row of each cell is the picture's average."""

    @classmethod
    def open(cls, bundle: Path, *, threads: int, device: int = 0, on_gpu: bool = False) -> Self:
        """Return one; there is nothing to load."""
        return cls()

    def encode(self, pictures: Sequence[Floats]) -> list[Floats]:
        """Return (cells, 1) for each picture."""
        cells = [one.shape[1] * one.shape[2] // FACTS.cell**2 for one in pictures]
        return [np.full((count, 1), one.mean(), dtype=np.float32) for count, one in zip(cells, pictures, strict=True)]

    def close(self) -> None:
        """Do nothing."""


class Line:
    """What the process asks the network for, by Python's own audit: names looked up, and connections."""

    def __init__(self) -> None:
        self.names = set[str]()
        self.connections = 0
        self._listens = True
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._listens and event == "socket.getaddrinfo":
            self.names.add(str(arguments[0]))
        elif self._listens and event == "socket.connect":
            self.connections += 1

    def close(self) -> None:
        """Hear no more: a hook of the audit stays for good."""
        self._listens = False


def measure(count: int, seed: int, passed: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Load `count` random pictures and as many URLs; return what came of them.

    Args:
        passed: gets how many of them are done.
    """
    dice, line, faults = random.Random(seed), Line(), list[str]()
    loader = Loader(Encoder(Averages(), FACTS, "", 0), Fetcher(AllowedHosts.of(NAMED)), LIMITS)
    outcomes = {what: Counter[str]() for what in WHAT}
    before = _most_memory_mib()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of much that is broken
        for number in range(2 * count):
            what = WHAT[number % 2]
            data = "" if number % 2 else base64.b64encode(picture(dice)).decode()
            source = ImageSource("url", url(dice), "url") if number % 2 else ImageSource("base64", data, "picture")
            try:
                (one,) = loader.load([source], dice.choice(SIZES), Until.of())
                right = one.encoded.features.shape[0] == one.cells[0] * one.cells[1]
                word = "read" if right and np.isfinite(one.encoded.features).all() else "wrong"
            except RequestError as exc:
                word = exc.error_type
            except Exception as exc:
                word = type(exc).__name__
            outcomes[what][word] += 1
            if word not in ("read", *BAD):
                faults.append(f"{what}, number {number}: {word}")
            passed(number + 1)
    line.close()
    return {
        "seed": seed,
        "outcomes": {what: dict(words) for what, words in outcomes.items()},
        "faults": faults,
        "names": sorted(line.names),
        "connections": line.connections,
        "grown_mib": _most_memory_mib() - before,
    }


def measure_in(processes: int, count: int, seed: int) -> dict[str, Any]:
    """Return what `measure` does, with the pictures shared among processes, each with a seed of its own from `seed` on.

    `grown_mib` is then the most of one process.
    """
    shares = [count // processes + (number < count % processes) for number in range(processes)]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(measure, shares, range(seed, seed + processes)))
    outcomes = {what: sum((Counter(one["outcomes"][what]) for one in parts), Counter()) for what in WHAT}
    return {
        "seed": seed,
        "processes": processes,
        "outcomes": {what: dict(words) for what, words in outcomes.items()},
        "faults": [f"seed {one['seed']}, {fault}" for one in parts for fault in one["faults"]],
        "names": sorted({name for one in parts for name in one["names"]}),
        "connections": sum(one["connections"] for one in parts),
        "grown_mib": max(one["grown_mib"] for one in parts),
    }


def claims(found: Found) -> list[Claim]:
    """Return what must hold."""
    others = set(found["names"]) - set(NAMED.split(","))
    grown = found["grown_mib"]
    return [
        Claim(f"{len(found['faults'])} were neither read nor refused in words, none may be", not found["faults"]),
        Claim(f"{found['connections']} connections were made, none may be", not found["connections"]),
        Claim(f"{len(others)} names were looked up that nobody allowed, none may be", not others),
        Claim(f"the process grew by {grown:.0f} MiB, at most {MOST_GROWTH_MIB:.0f}", grown <= MOST_GROWTH_MIB),
    ]


def section(found: Found) -> str:
    """Return the section of perf/RELIABILITY.md."""
    rows = "\n".join(
        f"| {what} | {sum(words.values()):,} | {', '.join(f'{word} {n:,}' for word, n in sorted(words.items()))} |"
        for what, words in found["outcomes"].items()
    )
    return f"""
## Under pictures by chance

`{found["command"]}`, at commit {found["commit"]}, on {found["measured_at"]}, {found["hardware"]["cores"]} cores, seed
{found["seed"]}: files of all formats and colours, three of four cut or changed, some with other sides in their headers,
and URLs, most of them odd, went the way of a request's pictures up to the tower. {len(found["faults"])} were neither
read nor refused in words. {found["connections"]} connections were made: the hosts that may be asked lead to this
machine, whose addresses are not public. A process grew by {found["grown_mib"]:.0f} MiB at most.

| what | tried | outcomes |
| --- | --- | --- |
{rows}
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf fuzz-pictures", description=__doc__)
    made.add_argument("--count", type=int, default=10_000, metavar="N", help="pictures, and URLs [%(default)s]")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="[%(default)s]")
    made.add_argument("--processes", type=int, default=1, metavar="N", help="that share them [%(default)s]")
    made.add_argument("--out", type=Path, default=PERF, metavar="DIR", help="[perf]")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run it; return 0, 1 where a claim does not hold or something failed, or 130 when interrupted."""
    options = parser().parse_args(arguments)
    return run("fuzz-pictures", lambda: fuzz(options), TrimodeError)


def fuzz(options: argparse.Namespace) -> int:
    """Load pictures, write what was found, and return the status."""
    several = f" --processes {options.processes}" if options.processes > 1 else ""
    command = f"python -m trimode_perf fuzz-pictures --count {options.count}{several}"
    found: dict[str, Any] = about(command, machine()) | {"commit": commit()}
    if several:
        found |= measure_in(options.processes, options.count, options.seed)
    else:
        with progress(2 * options.count, "pictures by chance") as bar:
            found |= measure(options.count, options.seed, lambda done: bar.at(done, "pictures by chance"))
    save(options.out / RESULTS, rounded(found))
    return conclusion(claims(found))


def _most_memory_mib() -> float:
    """Return the most memory that the process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
