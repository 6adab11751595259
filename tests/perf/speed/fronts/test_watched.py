"""What being watched costs: pairs on a real server, and what is claimed of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from trimode_perf.common import NANO
from trimode_perf.common.prompts import HELD_OUT, load
from trimode_perf.speed import Context
from trimode_perf.speed.fronts import watched


@pytest.mark.subprocess
def test_a_watched_stream_has_the_blocks_after_each_pass_beside_its_events(bundle_of: Any, context: Context) -> None:
    options = replace(context.options, bundle=bundle_of(NANO), max_tokens=32)
    asked = Context(options, context.config, 0.01)
    asked.prompts = load(NANO / HELD_OUT, 1)[:2]
    found = watched.measure(asked)
    eight = found["watched"]["cases"]["8 passes a block, as the playground's link asks"]
    assert eight["pairs"] == 2 * watched.MIN_ROUNDS
    assert eight["events"]["watched"] >= eight["events"]["plain"] + 7
    assert eight["processor"]["median"] > 0
    assert "stream_provisional" in watched.section(found)


@pytest.mark.parametrize(("speed", "holds"), [(0.97, True), (0.96, False)])
def test_three_percent_of_the_speed_may_be_lost(speed: float, holds: bool) -> None:
    row: dict[str, Any] = {"speed": {"median": speed}}
    assert [claim.holds for claim in watched.claims({"watched": {"cases": {"any": row}}})] == [holds]
