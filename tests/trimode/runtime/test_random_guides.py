"""Random schemas, expressions and grammars on nano, drawn at temperature 1: every complete answer is what was asked.

`--guides 10000` asks that many. The checks are jsonschema's and re's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trimode.config import ServerConfig
from trimode.errors import RequestError
from trimode.grammar.source import Source
from trimode.runtime import Runtime

from tests.support.guides import Guided, any_guide
from tests.support.sink import Sink

pytestmark = [pytest.mark.subprocess, pytest.mark.slow]

NANO = Path(__file__).parents[3] / "checkpoints" / "nano"
MODES = ("autoregressive", "self_speculation", "diffusion", "auto")
AT_ONCE = 64
"""Requests that run together, in all modes: each is the others' neighbour."""
WAIT = 120.0
"""Seconds for one answer, on a machine that does much else."""
MOST_REFUSED, LEAST_COMPLETE = 0.03, 0.9


@pytest.fixture(scope="module")
def nano(bundle_of: Callable[..., Path]) -> Iterator[Runtime]:
    made = Runtime.open(ServerConfig(bundle=bundle_of(NANO), max_slots=16, max_queue=AT_ONCE))
    yield made
    made.close()


class Asked:
    """One guide on its way: how many tokens its shortest text has, and how many may come."""

    def __init__(self, nano: Runtime, seed: int) -> None:
        self.guided: Guided = any_guide(seed)
        assert nano.services.grammars is not None
        shortest = nano.services.grammars.compile(Source(self.guided.kind, self.guided.guide)).shortest
        size = 10_000 if shortest is None else len(shortest)
        self.most = max(2 * size, 8) if seed % 3 and size < 400 else 96
        self.fits = 2 * size <= self.most
        self.mode, self.sink = MODES[seed % len(MODES)], Sink()
        given: dict[str, Any] = {
            "text_input": "Answer: ",
            "mode": self.mode,
            "max_tokens": self.most,
            "temperature": 1.0,
            "seed": seed,
            "stream": bool(seed % 2),
            "guided_decoding_guide_type": self.guided.kind,
            "guided_decoding_guide": self.guided.guide,
        }
        nano.submit(given, self.sink)

    def check(self) -> str:
        assert self.sink.done.wait(WAIT)
        assert self.sink.last.error is None, self.guided
        text = "".join(chunk.text for chunk in self.sink.chunks)
        if self.sink.last.finish_reason == "stop":
            assert self.guided.holds(text), (self.mode, text, self.guided)
            return f"{self.mode} complete" if self.fits else "other"
        return f"{self.mode} cut" if self.fits else "other"


def test_every_complete_answer_is_what_was_asked(nano: Runtime, pytestconfig: pytest.Config) -> None:
    count, seen, refused = int(pytestconfig.getoption("--guides")), Counter[str](), 0
    for first in range(0, count, AT_ONCE):
        running = []
        for seed in range(first, min(first + AT_ONCE, count)):
            try:
                running.append(Asked(nano, seed))
            except RequestError as error:
                assert error.error_type == "bad_grammar"
                refused += 1
        seen.update(one.check() for one in running)
    assert refused <= MOST_REFUSED * count
    for mode in MODES:
        complete, cut = seen[f"{mode} complete"], seen[f"{mode} cut"]
        assert complete, f"no answer in mode {mode} was complete: {seen}"
        assert complete >= LEAST_COMPLETE * (complete + cut), seen
