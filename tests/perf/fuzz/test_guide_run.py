"""Grammars by chance, some dozens: each complete answer is what was asked, and what cannot be enforced is refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trimode.config import ServerConfig
from trimode.errors import RequestError
from trimode.runtime import Runtime
from trimode_perf.common import NANO
from trimode_perf.fuzz import guide_run
from trimode_perf.fuzz.guide_run import AT_ONCE, UNSUPPORTED_EVERY, claims, main, measure, section
from trimode_perf.fuzz.guided_request import WAYS
from trimode_perf.fuzz.guides import any_guide
from trimode_perf.fuzz.unsupported import Unsupported

FOUND: dict[str, Any] = {
    "command": "python -m trimode_perf fuzz-guides --count 1200 --seed 0",
    "commit": "abc",
    "measured_at": "now",
    "machine": {"cores": 2, "model": "nano"},
    "seed": 0,
    "asked": 1200,
    "streamed": 500,
    "kinds": {"choice": 1170},
    "outcomes": {way: {"complete": 95, "cut": 5} for way in WAYS},
    "short_of_room": {"complete": 3, "cut": 400, "too complex": 1},
    "unsupported": 30,
    "refused": 4,
    "reasons": {"must be simple": 4},
    "faults": [],
    "faults_not_shown": 0,
    "minutes": 12.0,
}


@pytest.fixture(scope="module")
def bundle(bundle_of: Callable[..., Path]) -> Path:
    return bundle_of(NANO)


@pytest.mark.subprocess
@pytest.mark.slow
def test_every_complete_answer_is_what_was_asked(bundle: Path) -> None:
    runtime = Runtime.open(ServerConfig(bundle=bundle, max_slots=16, max_queue=4 * AT_ONCE))
    try:
        found = measure(runtime, 3 * UNSUPPORTED_EVERY, 0)
    finally:
        runtime.close()
    assert found["faults"] == []
    assert found["unsupported"] == 3
    assert all(words.get("complete") for words in found["outcomes"].values()), found
    assert found["asked"] == 3 * UNSUPPORTED_EVERY > found["streamed"] > 0
    answers = [*found["outcomes"].values(), found["short_of_room"]]
    assert sum(sum(words.values()) for words in answers) == found["asked"] - found["unsupported"] - found["refused"]


@pytest.mark.subprocess
def test_the_command_writes_its_record_and_a_wrong_text_is_a_fault(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ["--count", "2", "--seed", "7", "--bundle", str(bundle), "--out", str(tmp_path)]
    record = tmp_path / "results" / "fuzz_guides.json"
    main(ask)
    assert json.loads(record.read_text(encoding="utf-8"))["faults"] == []
    guide = any_guide(0)._replace(kind="choice", guide='["a"]', holds=lambda text: text == "b")
    monkeypatch.setattr(guide_run, "any_guide", lambda number: guide)
    assert main(ask) == 1
    faults = json.loads(record.read_text(encoding="utf-8"))["faults"]
    assert len(faults) == 2 and all("'[\"a\"]' got 'a'" in fault for fault in faults)


@pytest.mark.subprocess
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_writes_what_it_found_so_far(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupting(guide: int) -> Any:
        if guide == 102:
            os.kill(os.getpid(), number)
        return any_guide(guide)

    monkeypatch.setattr(guide_run, "any_guide", interrupting)
    before = signal.getsignal(number)
    main(["--count", "30", "--seed", "100", "--bundle", str(bundle), "--out", str(tmp_path)])
    found = json.loads((tmp_path / "results" / "fuzz_guides.json").read_text(encoding="utf-8"))
    answers = [*found["outcomes"].values(), found["short_of_room"]]
    assert found["asked"] == 3 == sum(sum(words.values()) for words in answers) + found["refused"]
    assert "--seed 100`, ended early, at commit" in section(found) and ", ended early" not in section(FOUND)
    after = signal.signal(number, before)
    assert after is (before if number == signal.SIGINT else signal.default_int_handler), "as any command leaves it"


@pytest.mark.subprocess
def test_what_is_taken_though_it_cannot_be_enforced_is_a_fault(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guide_run, "unsupported", lambda number: Unsupported("choice", '["a"]'))
    runtime = Runtime.open(ServerConfig(bundle=bundle))
    try:
        found = measure(runtime, 1, UNSUPPORTED_EVERY - 1)
        monkeypatch.setattr(runtime, "submit", _refuse)
        assert measure(runtime, 1, UNSUPPORTED_EVERY - 1)["faults"] == ["number 39: max_tokens must be 1, got 2"]
    finally:
        runtime.close()
    assert len(found["faults"]) == 1 and "was not refused" in found["faults"][0]


def _refuse(given: object, sink: object) -> None:
    raise RequestError("max_tokens", "must be 1", 2, error_type="not_applicable")


@pytest.mark.parametrize(
    "found",
    [
        {"faults": ["number 1: wrong"]},
        {"faults_not_shown": 1},
        {"refused": 60},
        {"short_of_room": {"too complex": 13}},
        {"outcomes": {**FOUND["outcomes"], "auto": {"complete": 8, "cut": 2}}},
        {"outcomes": {**FOUND["outcomes"], "auto": {}}},
    ],
    ids=str,
)
def test_each_finding_breaks_a_claim(found: dict[str, Any]) -> None:
    assert all(claim.holds for claim in claims(FOUND))
    assert [claim.holds for claim in claims({**FOUND, **found})].count(False) == 1


def test_the_section_counts_by_way() -> None:
    text = section(FOUND)
    assert "1,200 guides" in text and "At fault" not in text
    assert "| diffusion | 100 | 95 | 5 | 0 |" in text
    assert "| any, with less room | 404 | 3 | 400 | 1 |" in text
    assert "At fault were:\n\n```text\nnumber 1: wrong\n```" in section({**FOUND, "faults": ["number 1: wrong"]})
