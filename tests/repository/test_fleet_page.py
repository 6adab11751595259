"""perf/FLEET.md is what its record says, and the record is of whole trials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.fleet_check import __main__ as fleet_check
from scripts.fleet_check.__main__ import PAGE, RECORD, TRIALS
from scripts.fleet_check.report import claims, page


def test_the_page_is_that_of_its_record() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(record)
    for title, found in record.items():
        assert set(TRIALS) <= set(found), title


@pytest.mark.parametrize(("again", "commit"), [(["slow"], "new, old"), (list(TRIALS), "new")])
def test_the_record_names_the_commits_of_its_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, again: list[str], commit: str
) -> None:
    found = json.loads(RECORD.read_text(encoding="utf-8"))["HAProxy"] | {"commit": "old"}
    monkeypatch.setattr(fleet_check, "RECORD", tmp_path / "fleet.json")
    monkeypatch.setattr(fleet_check, "PAGE", tmp_path / "FLEET.md")
    fleet_check.RECORD.write_text(json.dumps({"HAProxy": found}), encoding="utf-8")
    measured = {name: value for name, value in found.items() if name not in TRIALS or name in again}
    assert fleet_check.keep("HAProxy", measured | {"commit": "new"})["commit"] == commit
    assert fleet_check.PAGE.read_text(encoding="utf-8").count(f"at commit {commit}, on") == 1


def test_a_claim_fails_where_the_figures_do_not_hold() -> None:
    found = json.loads(RECORD.read_text(encoding="utf-8"))["HAProxy"]
    found["affinity"] = {"affinity": 0.5, "in_turns": 0.3, "failed": 0}
    found["replaced"] = found["replaced"] | {"failed": 1}
    found["killed"] = found["killed"] | {"of_the_victim": 3, "cut": 2, "answered_after": 0}
    failing = [claim.text for claim in claims("HAProxy", found) if not claim.holds]
    assert failing[0] == "HAProxy: hit rate 50% by affinity, 30% in turns"
    assert failing[1].startswith("HAProxy: 1 of ")
    assert failing[2].startswith("HAProxy: 2 of 3 streams of a killed server")
    assert failing[3].startswith("HAProxy: 0 of ")
