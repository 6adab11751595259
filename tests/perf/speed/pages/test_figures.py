"""What the guides say, of figures made up here."""

from __future__ import annotations

from typing import Any

from trimode_perf.speed.pages import figures
from trimode_perf.speed.speculation.bench import FIXED

STAGES = dict.fromkeys(("check", "prompt", "wake", "leave", "choose"), 300.0)
TIMELINE = {
    "modes": {
        "autoregressive": {**STAGES, "pass": 50000.0, "total": 60000.0, "passes": 50},
        "auto": {**STAGES, "pass": 20000.0, "total": 25000.0, "passes": 5},
    }
}
COST = {"rows": [{"tokens": tokens, "times_one": {"median": times}} for tokens, times in ((8, 1.5), (32, 3.0))]}
SECONDS = {"1": 1.0, "32": 2.5}


def cell(auto: float) -> dict[str, float]:
    """Seconds of all choices, of which the best fixed one takes one."""
    return {**dict.fromkeys(FIXED, 2.0), "linear 8": 1.0, "auto": auto}


def replayed(auto: float = 1.0) -> dict[str, Any]:
    cells = {str(load): cell(1.0) for load in (1, 2, 4, 8, 16)}
    devices = ("this CPU", "flat")
    return {
        "answers": 9,
        "loads": dict.fromkeys(devices, cells),
        "full": dict.fromkeys(devices, cells),
        "domains": {"this CPU": {"sums": cell(0.5), "names": cell(1.0)}, "flat": {"sums": cell(auto)}},
    }


def test_costs_are_those_of_the_results() -> None:
    text = " ".join(figures.cost({"cost": COST}).split())
    assert "over 32 tokens takes 3.00 times" in text
    assert "over 8 tokens 1.50 times" in text


def test_int8_is_set_against_float32() -> None:
    departures = {"per_1000_tokens": 0.5}
    data = {"answers": 7, "speed_per_token": 2.0, "correct": {"float32": 0.9, "int8": 0.8}, "float32": departures}
    text = " ".join(figures.int8({"int8": {**data, "speculation": {"per_1000_tokens": 0.25}}}).split())
    assert "takes 0.50 of float32's time" in text
    assert "7 held-out prompts of all domains" in text
    assert "80% were right in int8, 90% in float32" in text


def test_the_dropped_target_is_worked_out() -> None:
    text = figures.dropped({"timeline": TIMELINE})
    assert "around each pass, at most 0.06 of it          1.2 ms       0.06 * 20.0" in text
    assert "the loop                                      1.11         (20.0 + 1.0 + 1.2) / 20.0" in text
    assert "Triton over gRPC, at most 1 ms more           1.16" in text
    assert "A target of\n1.05 would leave 1.0 ms, and the checks, the prompt and the wake-ups take 1.2, more" in text
    short = {**TIMELINE["modes"]["auto"], "check": 0.0}
    text = figures.dropped({"timeline": {"modes": {**TIMELINE["modes"], "auto": short}}})
    assert "take 0.9, so 0.02 ms are left for each pass" in text


def test_the_replay_says_where_the_target_is_missed() -> None:
    found = {"auto_replay": replayed(), "speculation": {"pass_seconds": SECONDS}}
    text = figures.replay(found)
    assert "| one thread | 1.00 |" in text
    assert "1: 1.00, 32: 2.50" in text
    assert "It is met everywhere." in text
    text = figures.replay({**found, "auto_replay": replayed(auto=1.25)})
    assert "It is missed on flat in 1 of 1 domains, least at sums: 80.0%." in text


def test_the_live_range_stands_beside_that_of_the_replay() -> None:
    domains = {"prompts": 4, "domains": {"sums": {"a": 9.0, "auto": 10.0}, "names": {"a": 10.0, "auto": 10.0}}}
    found = {
        "domains": domains, "auto_replay": replayed(), "timeline": TIMELINE, "cost": COST,
        "speculation": {"pass_seconds": SECONDS},
    }  # fmt: skip
    text = " ".join(figures.live(found).split())
    assert "auto has 0.90 (sums) to 1.00 (names)" in text
    assert "at least 0.95 in 1 of 2" in text
    assert "gives 1.00 to 2.00" in text
    assert "3.00 one-token passes live, 2.50 in the replay" in text
