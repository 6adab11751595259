"""Auto against fixed choices, on a toy engine."""

from __future__ import annotations

import pytest
from trimode.auto.acceptance import DraftStats
from trimode.auto.similar_requests import token_buckets
from trimode.runtime import Runtime
from trimode_perf.common.progress import Pace
from trimode_perf.common.prompts import Prompt
from trimode_perf.speed.auto import part as auto


def test_a_choice_is_set_against_auto_prompt_by_prompt_in_one_round() -> None:
    own = [[10.0, 1.0], [20.0, 1.0], [30.0, 1.0]]  # a round each, of two prompts
    other = [[20.0, 3.0], [20.0, 3.0], [60.0, 3.0]]
    assert auto._against(own, {"auto": own, "other": other}) == {"auto": 21.0, "other": 20.0 * 2 + 3}


def test_auto_is_compared_in_every_domain(
    runtime: Runtime, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "MIN_PROMPTS", len(prompts))
    found = auto.by_domain(auto.Learnt(runtime, prompts[:1], 6), prompts, Pace(0.001))
    assert sorted(found["domains"]) == ["code", "d0", "d1"]
    assert all(set(taken) == {*auto.FIXED, "auto"} for taken in found["domains"].values())
    assert found["same_text"]
    assert found["rounds"] >= 8
    assert all(half["share"] > 0 and set(half["best"]) <= {*auto.FIXED} for half in found["halves"].values())


def test_the_best_choice_of_a_domain_is_held_against_the_other_half_of_the_rounds() -> None:
    auto_ms, steady = [[10.0]] * 8, [[9.0]] * 8
    lucky = [[5.0], [20.0]] * 4  # the best of the even rounds, and the worst of the odd ones
    found = auto._halves({"auto": auto_ms, "steady": steady, "lucky": lucky})
    assert found == {"best": ["lucky", "steady"], "share": (9.0 + 20.0) / 20.0}


def test_every_choice_is_crowded_at_every_level(runtime: Runtime, prompts: list[Prompt]) -> None:
    found = auto.by_concurrency(auto.Learnt(runtime, prompts[:1], 6), prompts, Pace(0.001))
    assert len(found["rows"]) == len(auto.LEVELS) * (len(auto.FIXED) + 2)
    assert found["equal_to_alone"] is found["sampled_equal_to_alone"] is True
    assert [row["concurrency"] for row in found["halves"]] == list(auto.LEVELS)
    assert all(len(row["best"]) == 2 and row["share"]["median"] > 0 for row in found["halves"])
    for row in found["rows"]:
        assert 0 < row["first_p50_ms"] <= row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        if row["choice"] in ("autoregressive", "auto"):
            assert row[f"against_{row['choice']}"]["median"] == 1.0


def test_what_auto_learns_of_a_timed_prompt_is_forgotten(runtime: Runtime, prompts: list[Prompt]) -> None:
    learnt = auto.Learnt(runtime, prompts[:2], 9)
    chooser, stats = runtime.auto, DraftStats()
    known = chooser.similar.prior(token_buckets([1])).counts.sum()
    stats.add_verification(3, 8)
    chooser.similar.add(token_buckets([1]), stats)
    assert chooser.similar.prior(token_buckets([1])).counts.sum() != known
    learnt.put_back()
    assert chooser.similar.prior(token_buckets([1])).counts.sum() == known


def test_fewer_prompts_are_asked_where_time_is_short(runtime: Runtime, prompts: list[Prompt]) -> None:
    learnt = auto.Learnt(runtime, prompts[:1], 6)
    learnt._seconds = 2.0
    assert [len(learnt.affordable(prompts * 4, 5.0, Pace(seconds))) for seconds in (1e4, 100.0, 1.0)] == [20, 10, 4]
