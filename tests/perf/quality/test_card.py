"""The card is its template around the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode_perf.common import NANO
from trimode_perf.quality import card, claims


def test_a_dropped_domain_stays_in_the_table_and_counts_nowhere(
    results: dict[str, Any], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in results["runs"]:
        run["domains"]["addition"]["exact"] = 0
    monkeypatch.setattr(claims, "DROPPED", ("addition",))
    claims.conclude(results)
    assert all(claim["holds"] for claim in results["claims"])
    page = card.text(checkpoint, results)
    assert "| addition (not claimed) | 0% |" in page
    assert "**Column addition of numbers up to four digits**" in page
    assert (
        "exact 0% in ar, 0% in diffusion (block 32, threshold 0.9). Not claimed: ar is exact on less than 80%." in page
    )
    assert "It knows 1 small" in page


def test_the_card_is_filled(results: dict[str, Any], checkpoint: Path) -> None:
    page = card.text(checkpoint, results)
    assert "{{" not in page and "}}" not in page
    assert (
        "| addition | 100% | 100%, 6.0 | 100%, 6.0 | 100%, 6.0 | 11.6 (6.0), 11.6 (6.0), 11.6 (6.0) |"
        " 11.6 (6.0), 11.6 (6.0), 11.6 (6.0) | 2.72 |" in page
    )
    assert "| to_json | 1 of 2 | 1 of 2 | 1 of 2 |" in page
    assert "| [nano-cpu](../../train/nano-cpu.yaml) | 1,234 | 2.5 | 3.0 |" in page
    assert "| linear self-speculation | 100.0% | 6.00 | 11.60 | 62.88 | 4.52 |" in page
    assert "| 16 | 100%, 6.0 | 100%, 6.0 | 100%, 6.0 | 100%, 6.0 |" in page
    assert "rank 8, alpha 32" in page
    assert "| [a library](https://example.org) | code | MIT | 1,200 | 60 | 3.00 MB |" in page
    assert "| [generators](../../train/tasks) | chat | Apache-2.0 | - | - | generated |" in page
    assert "| [letters](https://example.org/f) | font | CC0-1.0 | - | - | - |" in page
    assert "| diffusion, block 8, threshold 0.9 | 100.0% | 6.00 | - | 63.18 | 2.57 |" in page


def test_the_card_tells_the_overlap_of_all_recipes(results: dict[str, Any], checkpoint: Path) -> None:
    def run(recipe: str, prompts: int, replies: int, **more: str) -> dict[str, Any]:
        counts = {"asked": 2, "prompts_seen": prompts, "replies": 2, "replies_seen": replies}
        domains = {"addition": counts, "to_json": {**counts, "replies_seen": 0}}
        domains["code"] = {"asked": 2, "prompts_seen": 2, "replies": 0, "replies_seen": 0}
        return {"recipe": recipe, "batches": 1000, "documents": 20_000, "domains": domains, **more}

    runs = [run("one", 1, 1, note="Begun late."), run("two", 0, 2)]
    (checkpoint / "overlap.json").write_text(json.dumps({"runs": runs}))
    page = card.text(checkpoint, results)
    assert "1,000 batches of `one` (20,000 documents) and 1,000 batches of `two` (20,000 documents) were drawn" in page
    assert "Of the 4 held-out prompts of chats 2 occur." in page
    assert "in training (the larger count of the runs): addition 2 of 2. `one`: Begun late. All counts" in page


def test_results_are_spelled_as_json(results: dict[str, Any]) -> None:
    assert json.loads(card.spelled(results)) == results


def test_the_card_is_what_the_results_say(shipped: dict[str, Any], shipped_checkpoint: Path) -> None:
    assert card.text(shipped_checkpoint, shipped) == (shipped_checkpoint / "README.md").read_text(encoding="utf-8")


def test_every_domain_of_the_checkpoint_has_words() -> None:
    lines = (NANO / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["domain"] for line in lines} - {"code"} <= set(card.WORDS["domains"])
