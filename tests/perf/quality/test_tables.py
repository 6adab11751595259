"""The levels of effort."""

from __future__ import annotations

import json
from typing import Any

from trimode.api.effort import EffortTable
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_perf.common import NANO
from trimode_perf.quality import tables


def test_efforts_are_what_each_further_right_answer_costs(results: dict[str, Any]) -> None:
    swept = [run for run in results["runs"] if (run["mode"], run["prompts"]) == ("diffusion", "sweep")]
    for run in swept:
        run["all"] |= {"exact": 1, "forwards": 100, "tokens": 100, "asked": 4}
    for run, exact, forwards in zip(swept, (2, 3, 3, 4, 0), (110, 120, 130, 150, 50), strict=False):
        run["all"] |= {"exact": exact, "forwards": forwards}
    table = tables.efforts(results)
    assert [level["effort"] for level in table["levels"]] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert [level["accuracy"] for level in table["levels"]] == [0, 0.25, 0.5, 0.75, 1]
    assert [level["forwards_per_token"] for level in table["levels"]] == [0.5, 1.0, 1.1, 1.2, 1.5]
    assert table["prompts"] == 4


def test_the_shipped_table_of_efforts_is_that_of_the_results() -> None:
    shipped = json.loads((NANO / "effort.json").read_text(encoding="utf-8"))
    assert shipped == tables.efforts(json.loads((NANO / "quality.json").read_text(encoding="utf-8")))
    loaded = EffortTable.load(NANO / "effort.json")
    with Checkpoint.open(NANO) as opened:
        assert loaded is not None and loaded.checkpoint_hash == opened.hash()
    costs = [level.forwards_per_token for level in loaded.levels]
    assert costs == sorted(costs) and len(costs) > 3
