"""Random schemas, expressions and grammars on nano, drawn at temperature 1: every complete answer is what was asked.

`--guides 10000` asks that many, `--guides-from 5000` begins later, and `-s` shows what became of them. The checks are
jsonschema's and re's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
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
WAYS = (*MODES, "gap", "whole")
"""How a text is asked for: by a mode, for a gap that matches by itself, or for the gaps of a text that does."""
AT_ONCE = 64
"""Requests that run together, in all modes: each is the others' neighbour."""
WAIT = 600.0
"""Seconds for one answer, on a machine that does much else."""
LARGEST_GAP = 48
"""Tokens of the largest gap whose size is searched: each size is decoded by itself."""
MOST_REFUSED, MOST_TOO_COMPLEX, LEAST_COMPLETE = 0.03, 0.01, 0.9


@pytest.fixture(scope="module")
def nano(bundle_of: Callable[..., Path]) -> Iterator[Runtime]:
    made = Runtime.open(ServerConfig(bundle=bundle_of(NANO), max_slots=16, max_queue=AT_ONCE))
    yield made
    made.close()


class Asked:
    """One guide on its way: how many tokens its shortest text has, and how many may come."""

    def __init__(self, nano: Runtime, seed: int) -> None:
        self.guided: Guided = any_guide(seed)
        self.seed, self.way, self.sink = seed, WAYS[seed % len(WAYS)], Sink()
        assert nano.services.grammars is not None
        made = nano.services.grammars.compile(Source(self.guided.kind, self.guided.guide))
        size = 10_000 if made.shortest is None else len(made.shortest)
        self.most = max(2 * size, 8) if seed // len(WAYS) % 3 and size < 400 else 96
        self.fits = 2 * size <= self.most
        given: dict[str, Any] = {
            "max_tokens": self.most,
            "temperature": 1.0,
            "seed": seed,
            "stream": bool(seed // len(WAYS) % 2),
            "guided_decoding_guide_type": self.guided.kind,
            "guided_decoding_guide": self.guided.guide,
        }
        if self.way in MODES:
            given |= {"text_input": "Answer: ", "mode": self.way}
        elif self.way == "gap" or made.shortest is None:
            given |= {"text_input": "Answer: ", "suffix": " is right.", "guided_decoding_scope": "gap"}
            given["infill_lengths"] = sorted({-(-self.most // 2), self.most})
        else:
            segments, gaps = cut(str(made.lexicon.tokens.decode_str(list(made.shortest))), Random(seed))
            self.most = max(8, *(2 * len(made.lexicon.spell(gap.encode())) for gap in gaps))
            self.fits = self.most <= LARGEST_GAP
            given |= {"segments": segments, "guided_decoding_scope": "whole", "exclude_input_in_output": False}
            given["max_tokens"] = min(self.most, LARGEST_GAP)
        nano.submit(given, self.sink)

    def check(self) -> str:
        """Return what became of it; a grammar that gets too complex on its way ends with an error, not a wrong text."""
        assert self.sink.done.wait(WAIT)
        error = self.sink.last.error
        if isinstance(error, RequestError) and error.error_type in ("bad_grammar", "no_filling"):
            print(f"guide {self.seed}, {self.way}: {error}")
            cut = self.fits and error.error_type == "no_filling"
            return f"{self.way} cut" if cut else "too complex" if self.fits else "cut for lack of room"
        assert error is None, (self.seed, error, self.guided)
        text = "".join(chunk.text for chunk in self.sink.chunks)
        if self.sink.last.finish_reason == "stop":
            assert self.guided.holds(text), (self.seed, self.way, text, self.guided)
            return f"{self.way} complete" if self.fits else "complete though short of room"
        return f"{self.way} cut" if self.fits else "cut for lack of room"


def cut(text: str, chance: Random) -> tuple[list[str | dict[str, int]], list[str]]:
    """Return `text` with one gap, or two, and what stood there."""
    count = 4 if chance.random() < 0.3 and len(text) > 8 else 2
    at = sorted(chance.randrange(len(text) + 1) for _ in range(count))
    pieces: list[str | dict[str, int]] = [text[: at[0]], {}]
    if count == 4:
        pieces += [text[at[1] : at[2]], {}]
    gaps = [text[begin:end] for begin, end in zip(at[::2], at[1::2], strict=True)]
    return [*pieces, text[at[-1] :]], gaps


def test_every_complete_answer_is_what_was_asked(nano: Runtime, pytestconfig: pytest.Config) -> None:
    begin, count = int(pytestconfig.getoption("--guides-from")), int(pytestconfig.getoption("--guides"))
    seen = Counter[str]()
    for first in range(begin, begin + count, AT_ONCE):
        running = []
        for seed in range(first, min(first + AT_ONCE, begin + count)):
            try:
                running.append(Asked(nano, seed))
            except RequestError as error:
                assert error.error_type == "bad_grammar"
                seen["refused"] += 1
        seen.update(one.check() for one in running)
        print(f"guides {begin} to {first + AT_ONCE - 1}: {dict(sorted(seen.items()))}", flush=True)
    assert seen["refused"] <= MOST_REFUSED * count
    assert seen["too complex"] <= MOST_TOO_COMPLEX * count
    for way in WAYS:
        complete, ended = seen[f"{way} complete"], seen[f"{way} cut"]
        assert complete, f"no answer of {way} was complete: {seen}"
        assert complete >= LEAST_COMPLETE * (complete + ended), seen
