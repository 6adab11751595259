"""The pairs, what they claim, and a whole run on a real server."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from trimode_perf.common.progress import Pace
from trimode_perf.speed import Context
from trimode_perf.speed.fronts import part
from trimode_perf.speed.fronts.callers import Taken

CASES = {case.name: case for case in part.CASES}
NANO = Path(__file__).parents[4] / "checkpoints" / "nano"


def compared(name: str, front: float, triton: float) -> Any:
    asked: list[str] = []

    def run(side: str) -> tuple[float, int]:
        asked.append(side)
        return (front if side == "front" else triton), 1  # the relay takes as long as Triton

    own = psutil.Process(os.getpid())
    row = part.compare(CASES[name], run, Pace(1e-9), {"front": own, "relay": own})
    once = [asked[at : at + 3] for at in range(0, len(asked), 3)]
    assert [sides[0] for sides in once] == ["front", "triton", "relay", "front"]
    assert all(set(sides) == {"front", "triton", "relay"} for sides in once)
    return row


def test_a_cost_is_the_difference_of_pairs_that_take_turns() -> None:
    row = compared("grpc_answer", 3.0, 2.5)
    assert (row["rounds"], row["pairs"]["median"], row["triton"]["median"]) == (3, 0.5, 2.5)
    assert row["relay_pairs"]["median"] == 0.0


def test_tokens_a_second_are_a_ratio_of_pairs() -> None:
    assert compared("grpc_crowd", 90.0, 100.0)["pairs"]["median"] == 0.9


def test_the_shares_of_the_time_are_all_of_it() -> None:
    assert sum(case.share for case in part.CASES) == pytest.approx(1.0)


def test_a_streamed_answer_is_divided_among_its_tokens() -> None:
    figure, count = part.per_token(Taken(130, 0.028, 0.1))
    assert figure == pytest.approx(1000.0)
    assert count == 130


def test_an_answer_is_counted_whole() -> None:
    figure, count = part.of_each([Taken(1, 0.001, 0.001), Taken(1, 0.003, 0.001)])
    assert figure == pytest.approx(3.0)
    assert count == 2


def test_what_one_of_many_callers_raises_is_raised() -> None:
    def fails() -> Taken:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        part.together([lambda: Taken(1, 0.0, 0.0), fails])


def results(**changed: float) -> Any:
    """Results in which every figure is at its bound, but for what is changed."""
    rows = {}
    for case in part.CASES:
        value = changed.get(case.name, case.bound)
        one = {"median": value, "low": value, "high": value}
        rows[case.name] = {"rounds": 3, "pairs": one, "front": one, "triton": one, "processor_us": 12.3}
        rows[case.name] |= {"relay_pairs": one, "relay_processor_us": 4.5}
    return {"fronts": {"tokens": 128, "streams": 8, "cases": rows}}


def test_at_their_bounds_all_claims_hold() -> None:
    assert all(claim.holds for claim in part.claims(results()))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("grpc_answer", 0.51, "an answer over gRPC takes 0.51 ms more than Triton's own, 0.5 at most"),
        ("grpc_response", 151.0, "a streamed response over gRPC takes 151.00 µs more"),
        ("grpc_crowd", 0.96, "tokens a second over 8 gRPC streams are 0.96 of Triton's own, 0.97 at least"),
        ("http_answer", 0.6, "an answer over HTTP takes 0.60 ms more"),
        ("chat_first", 1.1, "the first token of a chat, against generate_stream takes 1.10 ms more"),
        ("chat_chunk", 51.0, "a chunk of a chat, against an event of generate_stream takes 51.00 µs more"),
    ],
)
def test_beyond_its_bound_a_claim_fails_with_its_figure(name: str, value: float, said: str) -> None:
    (failed,) = [claim for claim in part.claims(results(**{name: value})) if not claim.holds]
    assert failed.text.startswith(said)


def test_the_section_has_a_row_of_each_case() -> None:
    text = part.section(results())
    assert text.count("\n| ") == len(part.CASES) + 2
    same = "0.97 (0.97 to 0.97) times"
    assert f"| tokens a second over 8 gRPC streams | 1 (1 to 1) | 1 (1 to 1) | {same} | {same} | 12 | 4 | 3 |" in text


@pytest.mark.subprocess
def test_a_real_server_and_the_triton_behind_it_are_measured(bundle_of: Any, context: Context) -> None:
    options = replace(context.options, bundle=bundle_of(NANO))
    found = part.measure(Context(options, context.config, 0.01))["fronts"]
    assert set(found["cases"]) == set(CASES)
    assert all(row["rounds"] >= 3 for row in found["cases"].values())
    for of in ("processor_us", "relay_processor_us"):
        assert sum(row[of] for row in found["cases"].values()) > 0
