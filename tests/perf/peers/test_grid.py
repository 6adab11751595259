"""Passes of engines in turn: what is paired, what the table says, and what must hold."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode.config import ServerConfig
from trimode_perf.common import NANO
from trimode_perf.common.progress import Pace
from trimode_perf.peers import grid
from trimode_perf.peers.table import OURS, OURS_INT4
from trimode_perf.peers.workers import Workers

WORKER = """
import json, sys
print(json.dumps({"about": "fake", "modes": [], "passes": sys.argv[1] != "none"}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    assert asked["causal"] is False and asked["context"] == 128
    fails = sys.argv[1] == "short" and asked["tokens"] > 8
    print(json.dumps({"error": "too long"} if fails else {"seconds": 0.001 * asked["tokens"]}), flush=True)
"""


@pytest.mark.subprocess
def test_engines_take_turns_and_each_pass_is_paired_with_ours(bundle_of: Callable[[Path], Path]) -> None:
    commands = {name: [sys.executable, "-I", "-c", WORKER, name] for name in ("llama.cpp F32", "none", "short")}
    with Workers(commands) as workers:
        config = ServerConfig(bundle=bundle_of(NANO), threads=1)
        found = grid.measure({OURS: config.bundle}, workers, config, Pace(0.01))
        assert list(workers.failures) == ["short"]
        assert workers.failures["short"].endswith(" tokens: too long")
    assert (found["rounds"], found["causal"]) == (grid.MIN_ROUNDS, False)
    assert [(row["engine"], row["tokens"]) for row in found["rows"]] == [
        (name, size) for name in (OURS, "llama.cpp F32") for size in grid.SIZES
    ]
    ours, theirs = found["rows"][0], found["rows"][len(grid.SIZES)]
    assert "ours_over_it" not in ours
    assert theirs["milliseconds"]["median"] == pytest.approx(1.0)
    assert theirs["ours_over_it"]["median"] == pytest.approx(ours["milliseconds"]["median"])


def rows(engine: str, times: dict[int, float]) -> list[dict[str, Any]]:
    spread = {name: 2.0 for name in ("median", "low", "high")}
    return [
        {"engine": engine, "tokens": size, "milliseconds": spread, "ours_over_it": {"median": ratio}}
        for size, ratio in times.items()
    ]


def test_the_table_has_a_line_an_engine_and_what_ours_takes_of_it() -> None:
    text = grid.text({"rows": rows("it", {1: 0.5, 8: 1.25}), "context": 128, "causal": True, "rounds": 3})
    assert "one causal pass behind 128 tokens" in text
    assert "| it | 2.00, 0.50 |  |  | 2.00, 1.25 |  |  |" in text


def test_what_ours_may_take_depends_on_the_tokens() -> None:
    found = grid.claims({"rows": rows("llama.cpp Q8_0", {1: 1.1, 2: 9.0, 8: 0.95, 32: 0.5}) + rows("other", {1: 9.0})})
    assert [claim.holds for claim in found] == [True, False, True]
    assert found[0].text == "a pass over one token takes this runtime, int8 1.10 times llama.cpp Q8_0's, 1.15 at most"


def test_four_bits_are_held_where_ours_had_four_too() -> None:
    theirs = rows("llama.cpp Q4_0", {1: 1.1, 8: 0.95, 32: 0.5})
    assert grid.claims({"rows": theirs}) == []  # of before: against int8
    found = grid.claims({"rows": rows(OURS_INT4, {1: 1.0}) + theirs})
    assert [claim.holds for claim in found] == [True, False, True]
    assert found[0].text == "a pass over one token takes this runtime, int4 1.10 times llama.cpp Q4_0's, 1.15 at most"
