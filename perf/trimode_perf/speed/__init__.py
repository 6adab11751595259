"""`make perf`: how fast each mode is, and where time goes, as parts.

A part is one file: it measures, writes its section of the report, and says what must hold. This file has what parts
share: what they are given and what they give. Knows none of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_client.local_server import Addresses, serving

from ..common.claims import Claim
from ..common.paths import NANO, RESULTS, WORK
from ..common.prompts import Prompt, claimed, load, spread

Data = dict[str, Any]
Found = Mapping[str, Data]
"""Results by the name of their file."""
MODES = ("autoregressive", "diffusion", "self_speculation", "auto")
"""The modes in the order of the report."""


@dataclass(frozen=True)
class Options:
    """What a run is asked for; `int8_bundle` and `peers_python` are None where there are none."""

    bundle: Path
    int8_bundle: Path | None = None
    model: str = "nano"
    checkpoint: Path = NANO
    heldout: Path = NANO / "heldout.jsonl"
    per_domain: int = 4
    prompts: int = 12
    max_tokens: int = 128
    peers_python: Path | None = None


@dataclass
class Pace:
    """Rounds until `seconds` have passed; `progress` takes the share of them that has."""

    seconds: float
    progress: Callable[[float], None] = lambda share: None

    def rounds(self, least: int, warm_up: int = 1) -> Iterator[int]:
        """Yield the number of each round, at least 1 to `least`; those that warm up have numbers below 1."""
        self.began, number = time.perf_counter(), 1 - warm_up
        while number <= least or time.perf_counter() - self.began < self.seconds:
            yield number
            number += 1

    def show(self) -> None:
        """Show how much of the time has passed."""
        self.progress(min(1.0, (time.perf_counter() - self.began) / self.seconds))


@dataclass
class Context:
    """What one part may use: the bundle, the prompts, and `seconds`, after which it asks no further round.

    `progress` takes the share done, 0 to 1; `results` is the folder for whatever is no JSON.
    """

    options: Options
    config: ServerConfig
    seconds: float
    progress: Callable[[float], None] = lambda share: None
    results: Path = RESULTS

    @cached_property
    def runtime(self) -> Runtime:
        """The bundle, loaded when first asked for; it knows no request of another part."""
        return Runtime.open(replace(self.config, bundle=self.options.bundle.resolve()))

    @contextmanager
    def server(self) -> Iterator[Addresses]:
        """Serve the bundle inside the block."""
        with serving(self.options.bundle.resolve(), WORK / "server.log") as at:
            yield at

    @cached_property
    def every(self) -> list[Prompt]:
        """One held-out prompt of every domain."""
        return load(self.options.heldout, 1)

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The prompts that are timed: of domains that the checkpoint claims."""
        return spread(claimed(self.every), self.options.prompts)

    def pace(self, begins: float = 0.0, ends: float = 1.0) -> Pace:
        """Return the pace of what has this stretch of the part's time."""
        share = ends - begins
        return Pace(share * self.seconds, lambda done: self.progress(begins + share * done))

    def close(self) -> None:
        """Let the runtime go, if there is one."""
        if "runtime" in vars(self):
            self.runtime.close()


def _no_text(found: Found) -> str:
    return ""


def _no_claims(found: Found) -> list[Claim]:
    return []


@dataclass(frozen=True)
class Part:
    """One part of `make perf`. One without `measure` only reads results, its own of earlier or another part's.

    Attributes:
        name: as PART has it.
        title: what it does, in a few words.
        reads: the names of the results that it is written from.
        seconds_hint: how long it takes, about.
        measure: returns results by name; none where this run lacks what it needs.
        section: its section of RESULTS.md.
        claims: what must hold of its results.
        summary: its sentences of the README.
    """

    name: str
    title: str
    reads: tuple[str, ...]
    seconds_hint: float = 0.0
    measure: Callable[[Context], dict[str, Data]] | None = None
    section: Callable[[Found], str] = _no_text
    claims: Callable[[Found], list[Claim]] = _no_claims
    summary: Callable[[Found], str] = _no_text

    def can_read(self, found: Found) -> bool:
        """Whether all that it is written from was measured."""
        return all(name in found for name in self.reads)
