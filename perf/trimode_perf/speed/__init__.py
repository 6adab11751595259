"""`make perf`: how fast each mode is, and where time goes, as parts: a file each, in the order of report.py.

This file has what parts share: what they are given and what they give. Knows none of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.runtime import Runtime
from trimode_client.local_server import Addresses, serving

from ..common import NANO, QUESTIONS, RESULTS, WORK
from ..common.claims import Claim
from ..common.progress import Pace
from ..common.prompts import HELD_OUT, Prompt, claimed, load, spread

MOST_SECONDS = 12 * 60
"""What a run that names no part may take on a quiet machine."""
Data = dict[str, Any]
Found = Mapping[str, Data]
"""Results by the name of their file."""
MODES = ("autoregressive", "diffusion", "self_speculation", "auto")
"""The modes in the order of the report."""
COLOURS = dict(zip(MODES, ("#7a7a7a", "#1f77b4", "#76b900", "#d95f02"), strict=True))
"""Theirs in the plots."""


@dataclass(frozen=True)
class Options:
    """What a run is asked for; `int8_bundle`, `int4_bundle` and `peers_python` may be None."""

    bundle: Path
    int8_bundle: Path | None = None
    int4_bundle: Path | None = None
    model: str = "nano"
    checkpoint: Path = NANO
    heldout: Path | None = None
    per_domain: int = 4
    prompts: int = 12
    max_tokens: int = 128
    peers_python: Path | None = None


def options() -> argparse.ArgumentParser:
    """Return the part of a command line that says of which bundle what is asked, and for how long."""
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    made.add_argument("--int8-bundle", type=Path, metavar="DIR", help="the same checkpoint's, to compare with")
    made.add_argument("--int4-bundle", type=Path, metavar="DIR", help="the same, set against peers of 4 bits")
    made.add_argument("--checkpoint", type=Path, default=NANO, metavar="DIR", help="what the peers load [nano]")
    made.add_argument("--heldout", type=Path, metavar="JSONL", help="the prompts [nano's; questions, where it chats]")
    made.add_argument("--per-domain", type=int, default=4, metavar="N", help="prompts of a domain [%(default)s]")
    made.add_argument("--prompts", type=int, default=12, metavar="N", help="of those, timed ones [%(default)s]")
    made.add_argument("--max-tokens", type=int, default=128, metavar="N", help="per answer [%(default)s]")
    made.add_argument("--peers-python", type=Path, metavar="FILE", help="an interpreter with the peers' libraries")
    made.add_argument("--seconds", type=_seconds, metavar="S", help="a part takes about; short, it asks less")
    return made


def _seconds(text: str) -> float:
    if (value := float(text)) <= 0:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {value:g}")
    return value


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

    @property
    def bundles(self) -> dict[str, Path]:
        """The bundles of the checkpoint, by precision."""
        int8 = self.options.int8_bundle
        return {"float32": self.options.bundle} | ({"int8": int8} if int8 else {})

    @contextmanager
    def server(self) -> Iterator[Addresses]:
        """Serve the bundle inside the block."""
        with serving(self.options.bundle.resolve(), WORK / "server.log") as at:
            yield at

    @property
    def heldout(self) -> Path:
        """The file of prompts: nano's, or questions where the checkpoint was not trained to denoise."""
        if self.options.heldout is not None:
            return self.options.heldout
        return NANO / HELD_OUT if Manifest.load(self.options.bundle).denoises else QUESTIONS

    @cached_property
    def every(self) -> list[Prompt]:
        """One held-out prompt of every domain."""
        return load(self.heldout, 1)

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The prompts that are timed: of domains that the checkpoint claims, of all where no answer can be checked."""
        return spread(claimed(self.every) or self.every, self.options.prompts)

    def pace(self, begins: float = 0.0, ends: float = 1.0) -> Pace:
        """Return the pace of what has this stretch of the part's time."""
        share = ends - begins
        return Pace(share * self.seconds, lambda done: self.progress(begins + share * done))

    def close(self) -> None:
        """Let the runtime go, if there is one."""
        if "runtime" in vars(self):
            self.runtime.close()


@dataclass(frozen=True)
class Part:
    """One part of `make perf`. One without `measure` only reads results, its own of earlier or another part's."""

    name: str
    """As PART has it."""
    title: str
    """What it does, in a few words."""
    reads: tuple[str, ...]
    """The names of the results that it is written from."""
    seconds_hint: float = 0.0
    """How long it takes, about."""
    measure: Callable[[Context], dict[str, Data]] | None = None
    """Returns results by name; none where this run lacks what it needs."""
    section: Callable[[Found], str] = lambda found: ""
    """Its section of RESULTS.md."""
    claims: Callable[[Found], list[Claim]] = lambda found: []
    """What must hold of its results."""
    summary: Callable[[Found], str] = lambda found: ""
    """Its sentences of the README."""
    plot: tuple[str, Callable[[Found, Path], None]] | None = None
    """The name of its plot, and what draws it from the results into a file."""
    fixed: bool = False
    """It takes a fixed number of rounds, so that `--seconds` has no meaning for it."""
    apart: bool = False
    """It runs only where it is asked for by name: all others together take MOST_SECONDS at most, by their hints."""

    def can_read(self, found: Found) -> bool:
        """Whether all that it is written from was measured."""
        return all(name in found for name in self.reads)


@dataclass(frozen=True)
class Book:
    """A report of one checkpoint: its parts, and how it is written from their results."""

    parts: tuple[Part, ...]
    write: Callable[[Path], Path | None]
    """Writes it from the results in a folder's results/; None where what its head needs was never measured."""
    shown: Callable[[Path], str]
    """What is printed of them when a run ends."""
    head: tuple[str, ...]
    """The results that its head needs."""
    prefix: str = ""
    """What the names of its results begin with in their folder."""
