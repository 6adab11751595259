"""What must hold of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_perf.common import NANO
from trimode_perf.quality import claims


def test_everything_that_must_hold_can_hold(results: dict[str, Any]) -> None:
    assert [line[:4] for line in [claim.line for claim in claims.held(results)]] == ["pass"] * 9


@pytest.mark.parametrize(
    ("mode", "counts", "claim"),
    [
        ("self_speculation", {"same_as_autoregressive": 1}, 0),
        ("autoregressive", {"exact": 0}, 1),
        ("diffusion", {"exact": 1}, 2),
        ("self_speculation", {"exact": 1}, 3),
        ("diffusion", {"forwards": 16}, 4),
        ("self_speculation", {"accepted": {"6": 9, "7": 2}}, 5),
    ],
)
def test_what_does_not_hold_is_told(results: dict[str, Any], mode: str, counts: dict[str, Any], claim: int) -> None:
    for run in results["runs"]:
        if run["mode"] == mode:
            for domain in ("addition", "to_json"):
                run["domains"][domain] |= counts
    claims.conclude(results)
    assert not results["claims"][claim]["holds"]
    assert [claim.line for claim in claims.held(results)][claim].startswith("FAIL")


@pytest.mark.parametrize(("fact", "value", "claim"), [("megabytes", 64.1, 6), ("load_seconds", 2.0, 7)])
def test_size_and_time_have_limits(results: dict[str, Any], fact: str, value: float, claim: int) -> None:
    results["checkpoint"][fact] = value
    assert not claims.check(results)[claim]["holds"]


@pytest.mark.parametrize(("bits", "holds"), [("int8", False), ("int4", True)])
def test_int8_is_held_to_half_a_point_and_int4_is_stated(results: dict[str, Any], bits: str, holds: bool) -> None:
    for run in results["runs"]:
        if (run["mode"], run["precision"]) == ("diffusion", bits):
            run["domains"]["addition"]["exact"] = 1
    claims.conclude(results)
    assert results["claims"][-1]["claim"].startswith("int8 is within 0.5 points")
    assert results["claims"][-1]["holds"] is holds


def test_what_was_not_counted_in_int8_claims_nothing_of_it(results: dict[str, Any]) -> None:
    results["runs"] = [run for run in results["runs"] if run["precision"] != "int8"]
    claims.conclude(results)
    assert not any("int8" in claim["claim"] for claim in results["claims"])


def test_the_claims_are_what_the_results_say(shipped: dict[str, Any]) -> None:
    again = json.loads(json.dumps(shipped))
    claims.conclude(again)
    assert again == shipped


def test_every_claim_of_the_shipped_results_holds(shipped: dict[str, Any], shipped_checkpoint: Path) -> None:
    """Of nano-vlm those about blank pictures, drafts and its size; what it reads and writes its card says."""
    owed = ("blank picture", "greedy self-speculation", "MB") if shipped_checkpoint != NANO else ("",)
    claims = [claim for claim in shipped["claims"] if any(word in claim["claim"] for word in owed)]
    assert [claim["claim"] for claim in claims if not claim["holds"]] == []


def test_the_shipped_acceptance_lengths_are_all_tokens_but_the_first(shipped: dict[str, Any]) -> None:
    for run in shipped["runs"]:
        if run["mode"] == "self_speculation":
            given = sum(int(size) * cycles for size, cycles in run["all"]["accepted"].items())
            assert given == run["all"]["tokens"] - run["all"]["asked"]


def test_the_results_are_of_this_checkpoint(shipped: dict[str, Any], shipped_checkpoint: Path) -> None:
    with Checkpoint.open(shipped_checkpoint) as opened:
        assert opened.hash() == shipped["checkpoint"]["hash"]
