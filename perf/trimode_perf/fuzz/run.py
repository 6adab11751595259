"""`make fuzz MINUTES=n`: requests by chance over every face of a server, with a canary after every thousand.

Writes perf/results/fuzz.json, from which `python -m scripts.render_reliability` makes a part of perf/RELIABILITY.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode_client.errors import TrimodeClientError
from trimode_client.local_server import Addresses, serving

from ..common import BUNDLE, MODEL_YAML, PERF, WORK
from ..common.claims import conclusion
from ..common.progress import progress, run
from ..common.results import about, commit, describe, rounded, save
from ..common.until_stopped import UntilStopped
from .faces import GENERATE, SECONDS, Fuzzer, Outcome
from .report import claims

RESULTS = "results/fuzz.json"
CALLERS = 4
CANARY_EVERY = 1000
CANARY = {"input_ids": [5, 6, 7], "mode": "autoregressive", "max_tokens": 12, "return_token_ids": True}
MOST_SHOWN = 40  # faults that the record quotes; all count
NO_TOKENS = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError)
"""What asking a canary ends with where no tokens came: no answer, half of one, no JSON, or JSON of another kind."""
WEIGHTS = {"HTTP": 5, "HTTP events": 2, "OpenAI": 4, "gRPC": 4, "other paths": 1}
"""How often each face is taken."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf fuzz", description=__doc__)
    made.add_argument("--minutes", type=float, default=15.0, metavar="N", help="of requests [%(default)s]")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of the first caller's requests [%(default)s]")
    made.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="[build/out/nano-float32]")
    made.add_argument("--out", type=Path, default=PERF, metavar="DIR", help="[perf]")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run it; return 0, 1 where a claim does not hold or something failed, or 130 when interrupted."""
    options = parser().parse_args(arguments)
    return run("fuzz", lambda: fuzz(options), TrimodeError, TrimodeClientError)


def fuzz(options: argparse.Namespace) -> int:
    """Send requests to a server, write what was found, and return the status."""
    manifest, config = Manifest.load(options.bundle), ServerConfig.load(MODEL_YAML)
    found: dict[str, Any] = about(f"make fuzz MINUTES={options.minutes:g}")
    found |= {"commit": commit(), "machine": describe(manifest, config), "seed": options.seed}
    log = WORK / "fuzz.log"
    with serving(options.bundle, log) as at:
        found |= measure(at, options.minutes * 60, options.seed)
    found["restarts"] = log.read_text(encoding="utf-8", errors="replace").count("its streams were ended, restart ")
    save(options.out / RESULTS, rounded(found))
    return conclusion(claims(found))


def measure(at: Addresses, seconds: float, seed: int) -> dict[str, Any]:
    """Send requests for so many seconds; return what came of them."""
    load = Load(at, seed)
    with progress(seconds, "requests by chance") as bar, load:
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds and not load.over.wait(min(1.0, seconds)):
            bar.at(min(passed, seconds), f"requests by chance, {load.sent:,} sent, {load.count} faults")
    return load.found()


class Load(UntilStopped):
    """Callers that send requests until they are stopped; the block is left when each has its last answer."""

    def __init__(self, at: Addresses, seed: int) -> None:
        self.sent = self.count = 0
        self._at, self._right = at, canary(at)
        self._outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._faults: list[str] = []
        self._canaries = self._wrong = 0
        self._lock = threading.Lock()
        super().__init__(self._call, range(seed, seed + CALLERS))

    def found(self) -> dict[str, Any]:
        """Return what came of all requests so far."""
        outcomes = {face: dict(words) for face, words in self._outcomes.items()}
        return {
            "outcomes": outcomes,
            "faults": self._faults,
            "faults_not_shown": self.count - len(self._faults),
            "canary_every": CANARY_EVERY,
            "canaries": self._canaries,
            "wrong_canaries": self._wrong,
        }

    def _call(self, seed: int) -> None:
        draw = Random(seed)
        faces, weights = list(WEIGHTS), list(WEIGHTS.values())
        with closing(Fuzzer(self._at, draw)) as caller:
            while not self.over.is_set():
                (face,) = draw.choices(faces, weights)
                if self._note(face, caller.faces[face]()):
                    self._ask_canary()

    def _note(self, face: str, outcome: Outcome) -> bool:
        """Count what came of a request; return whether a canary is due."""
        with self._lock:
            self.sent += 1
            self._outcomes[face][outcome.word] += 1
            if outcome.fault:
                self.count += 1
                if self.count <= MOST_SHOWN:
                    self._faults.append(f"{face}: {outcome.fault}")
            return self.sent % CANARY_EVERY == 0

    def _ask_canary(self) -> None:
        try:
            right = canary(self._at) == self._right
        except NO_TOKENS:
            right = False
        with self._lock:
            self._canaries += 1
            self._wrong += not right


def canary(at: Addresses) -> object:
    """Return the tokens of a request whose answer is known, once it was asked."""
    request = urllib.request.Request(f"http://{at.http}{GENERATE}", json.dumps(CANARY).encode())
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.loads(answer.read())["output_ids"]
