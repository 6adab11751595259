"""What the report says of halves of rounds, and of records from before there were any."""

from __future__ import annotations

import re
from typing import Any

from trimode_perf.common import PERF
from trimode_perf.speed import report as every
from trimode_perf.speed.auto import report


def measured(share: float) -> dict[str, Any]:
    """Records of an earlier run, with halves as new ones have them: the same share everywhere."""
    found = {name: dict(data) for name, data in every.read(PERF / "results").items()}
    best = ["autoregressive", "self_speculation"]
    spread = {"median": share, "low": share - 0.01, "high": share + 0.01}
    halves = [{"concurrency": level, "best": best, "share": spread} for level in (1, 8)]
    found["concurrency"]["halves"] = halves
    found["domains"]["halves"] = {name: {"best": best, "share": share} for name in found["domains"]["domains"]}
    return found


def test_auto_is_held_to_the_choice_of_the_other_half() -> None:
    found = report.claims(measured(0.96))
    assert re.match(r"auto has at least 95% of the best fixed choice's speed in (\d+) of \1 domains", found[0].text)
    said = "(autoregressive / self_speculation, best in the other half of the rounds), 95% at least"
    assert [claim.holds for claim in found if said in claim.text] == [True, True]
    missed = report.claims(measured(0.94))
    assert [claim.holds for claim in missed if said in claim.text] == [False, False]
    assert not missed[0].holds
    assert "96% at 1, 96% at 8" in report.summary(measured(0.96))


def test_the_section_says_how_the_best_choice_was_found() -> None:
    new = report.section(measured(0.96))
    assert new.count("rounds had halves") == 0
    assert "| 8 | autoregressive / self_speculation | 0.96 (0.95 to 0.97) |" in new
    old = every.read(PERF / "results")
    for name in ("domains", "concurrency"):
        old[name] = {key: value for key, value in old[name].items() if key != "halves"}
    assert report.section(old).count("it was measured before rounds had halves") == 2
