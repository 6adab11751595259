"""What the parts claim of figures made up here."""

from __future__ import annotations

from typing import Any

import pytest
from trimode_perf.common import claims
from trimode_perf.speed import report
from trimode_perf.speed.auto import report as auto


def spread(value: float) -> dict[str, float]:
    return {"median": value, "low": value, "high": value}


MODES = ("autoregressive", "diffusion", "self_speculation", "auto")
HOLDS = {
    "once": 1500.0, "around": 400.0, "grpc": 3.9, "torch": 4.5, "speculation": 2.1, "diffusion": 2.6, "auto_ms": 50.0,
    "auto_rate": 100.0, "batch": 2.6, "start": 2.5,
}  # fmt: skip
"""Figures with which everything holds."""


def results(**changed: float) -> dict[str, Any]:
    """Results of a run in which everything holds, but for what is changed."""
    figure = {**HOLDS, **changed}
    peer = {
        "peer": "torch",
        "mode": "autoregressive",
        "times_ours": spread(figure["torch"]),
        "times_products": spread(2.0),
    }
    domains = {
        "long": {"autoregressive": 90.0, "self_speculation": 50.0, "auto": figure["auto_ms"]},
        "short": {"autoregressive": 20.0, "self_speculation": 40.0, "auto": 21.0},
    }
    return {
        "bench": {"summary": bench(figure)},
        "timeline": timeline(figure),
        "peers": {"rows": [peer]},
        "domains": {"domains": domains},
        "concurrency": {"rows": crowds(figure), "equal_to_alone": True, "sampled_equal_to_alone": True},
        "startup": {"seconds": spread(figure["start"])},
        "cost": {},
        "decoding": {},
    }


def bench(figure: dict[str, float]) -> dict[str, Any]:
    speeds = {"autoregressive": 1.0, "diffusion": figure["diffusion"], "self_speculation": figure["speculation"]}
    engine = {mode: {"engine": {"per_token": spread(speeds.get(mode, 1.5))}} for mode in MODES}
    added = {mode: {"loop": spread(3.0), "grpc": spread(figure["grpc"])} for mode in MODES}
    return {"added_milliseconds": added, "speed_against_autoregressive": engine}


def timeline(figure: dict[str, float]) -> dict[str, Any]:
    """Microseconds: 50 passes of 2000 in autoregressive, 5 of 8000 in the others."""
    once = dict.fromkeys(("check", "prompt", "wake", "leave"), figure["once"] / 4)
    modes = {}
    for mode in MODES:
        passes, each = (50, 2000.0) if mode == "autoregressive" else (5, 8000.0)
        around = 0.07 * each if mode == "autoregressive" else figure["around"]
        total = figure["once"] + passes * (each + around)
        modes[mode] = {**once, "pass": passes * each, "passes": passes, "total": total}
    return {"again": {"check": 1.0, "prompt": 1.0}, "modes": modes}


def crowds(figure: dict[str, float]) -> list[dict[str, Any]]:
    rates = {"autoregressive": 80.0, "self_speculation": 100.0, "diffusion": 900.0, "auto": figure["auto_rate"]}
    return [
        {
            "concurrency": level,
            "choice": choice,
            "against_auto": spread(rate / figure["auto_rate"]),
            "against_alone": spread(figure["batch"] if choice == "autoregressive" else 1.0),
        }
        for level in (1, 8)
        for choice, rate in rates.items()
    ]


def failing(found: dict[str, Any]) -> list[str]:
    return [claim.text for claim in report.claims(found) if not claim.holds]


def test_where_all_holds_no_line_fails() -> None:
    assert failing(results()) == []
    assert all(line.startswith("pass  ") for line in claims.text(report.claims(results())).splitlines())


@pytest.mark.parametrize(
    ("changed", "value", "said"),
    [
        ("once", 2200.0, "wake-ups take 1.10 one-token passes in auto, 1 at most"),
        ("around", 560.0, "around each pass 0.07 of a block pass is spent in auto, 0.06 at most"),
        ("grpc", 4.2, "Triton over gRPC adds 1.2 ms to an answer in process in auto, 1 at most"),
        ("torch", 3.9, "torch eager takes 3.90 times as long in autoregressive"),
        ("speculation", 1.9, "self-speculation or auto is 1.90 times"),
        ("diffusion", 2.4, "diffusion is 2.40 times"),
        ("auto_ms", 53.0, "1 of 2 domains; least in long: 94%"),
        ("auto_rate", 94.0, "94% (94% to 94%) of the speed of the best fixed choice at 8 at once (self_speculation)"),
        ("batch", 2.4, "autoregressive at 8 at once gives 2.40 times"),
        ("start", 3.1, "ready after 3.1 s"),
    ],
)
def test_what_does_not_hold_fails_with_its_figure(changed: str, value: float, said: str) -> None:
    failed = failing(results(**{changed: value}))
    assert failed
    assert any(said in line for line in failed)


def test_a_share_has_the_spread_of_its_pairs() -> None:
    found = results()
    rows = [row for row in found["concurrency"]["rows"] if row["concurrency"] == 8]
    for row in rows:
        if row["choice"] == "self_speculation":
            row["against_auto"] = {"median": 1.25, "low": 1.0, "high": 2.0}
    choice, share = auto.shares_by_level(found["concurrency"])[8]
    assert (choice, share.median, share.low, share.high) == ("self_speculation", 0.8, 0.5, 1.0)


def test_a_peer_without_products_has_a_line_all_the_same() -> None:
    found = results()
    del found["peers"]["rows"][0]["times_products"]
    assert failing(found) == []


def test_an_answer_that_depends_on_the_load_fails() -> None:
    found = results()
    found["concurrency"]["sampled_equal_to_alone"] = False
    assert [line for line in failing(found) if "sampled with a seed differ" in line]


def test_the_best_single_choice_is_the_one_that_is_best_over_all() -> None:
    choice, share = auto.overall(results()["domains"])
    assert choice == "self_speculation"
    assert share == pytest.approx(90.0 / 71.0)
