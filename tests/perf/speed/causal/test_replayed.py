"""Auto on recorded drafts of an adapter: what passes cost, shares of the fixed choices, and what must hold of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode.config import ServerConfig
from trimode_perf.speed import Context, Options
from trimode_perf.speed.causal import replayed, report
from trimode_perf.speed.causal.replayed import (
    BASELINE,
    FIXED,
    LOADS,
    MET,
    MODEL,
    PART,
    RECORDED,
    best,
    claims,
    costs,
    measure,
    section,
)
from trimode_perf.speed.speculation.bench import halves
from trimode_perf.speed.speculation.recording import Recording

PEERS = {
    "grid": {
        "rows": [
            {"engine": engine, "tokens": tokens, "milliseconds": {"median": factor * tokens}}
            for engine, factor in (("this runtime", 10.0), ("this runtime, int8", 5.0), ("llama.cpp F32", 1.0))
            for tokens in (1, 4)
        ]
    }
}


def found(auto: float, **fixed: float) -> dict[str, Any]:
    taken = {**dict.fromkeys(FIXED, 2.0), **fixed, "auto": auto}
    loads = {"int8": {str(load): taken for load in LOADS}}
    return {"replayed": {"met": 40, "answers": 60, "loads": loads, "kinds": {"int8": {"chat": taken}}}}


def test_a_pass_costs_what_was_measured_and_more_tokens_a_share_each() -> None:
    made = costs(PEERS)
    assert set(made) == {"float32", "int8"}
    assert [made["int8"](tokens) for tokens in (1, 2, 4, 8)] == pytest.approx([0.005, 0.01, 0.02, 0.04])
    assert made["float32"](4) == pytest.approx(0.04)


def test_auto_is_set_against_the_best_choice_and_against_single_tokens() -> None:
    one = found(1.0, **{"linear 8": 1.5})
    assert best(one["replayed"]["kinds"]["int8"]["chat"]) == ("linear 8", 1.5)
    shown = section(one)
    assert "| chat | 1.50 (linear 8) | 2.00 |" in shown and "| 16 | 1.50 (linear 8) |" in shown


def test_what_must_hold() -> None:
    assert [claim.holds for claim in claims(found(2.0))] == [True, True]
    assert [claim.holds for claim in claims(found(2.2))] == [False, False]
    assert [claim.holds for claim in claims(found(1.9, **{"linear 4": 1.5}))] == [False, True]


def test_the_recording_has_prompts_of_each_kind_before_and_after_those_met() -> None:
    recording = Recording.load(RECORDED)
    met, counted = halves(recording, MET)
    kinds = {answer.domain for answer in recording.answers}
    assert len(met) == MET * len(kinds) and {answer.domain for answer in counted} == kinds
    assert recording.longest == 16


def test_it_is_replayed_once_passes_were_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each token of a pass costs the same, no draft pays for what is refused."""
    small = Recording.load(RECORDED).first(MET + 1)
    monkeypatch.setattr(Recording, "load", classmethod(lambda cls, path: small))
    monkeypatch.setattr(replayed, "LOADS", (1, 4))
    context = Context(Options(tmp_path, model=MODEL), ServerConfig(bundle=tmp_path), 1.0, results=tmp_path)
    assert measure(context) == {}
    (tmp_path / f"{MODEL}-peers.json").write_text(json.dumps(PEERS), encoding="utf-8")
    data = measure(context)["replayed"]
    assert set(data["loads"]) == {"float32", "int8"} and data["answers"] == len(small.answers) - data["met"]
    for taken in data["kinds"]["int8"].values():
        assert taken[BASELINE] < taken["linear 8"]
        assert taken["auto"] == pytest.approx(taken[BASELINE], rel=0.3)


def test_it_is_a_part_of_the_report() -> None:
    assert PART in report.PARTS
