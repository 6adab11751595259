"""What being watched costs: pairs on a real server, and what is claimed of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trimode.server import playground
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
    page, each = (eight["watched"][way] for way in (watched.PAGE, "a response after each pass"))
    assert each["events"] >= eight["events"] + 7 and each["events"] >= page["events"]
    assert page["processor"]["median"] > 0
    assert "stream_provisional" in watched.section(found)


def test_a_stream_is_asked_as_the_page_asks() -> None:
    script = (Path(playground.__file__).parent / "static" / "player.js").read_text(encoding="utf-8")
    asked = "stream_provisional: true, stream_interval_ms: FRAME_MS"
    assert f"FRAME_MS = {watched.FRAME_MS};" in script and asked in script
    assert watched.WAYS[watched.PAGE] == {"stream_provisional": True, "stream_interval_ms": watched.FRAME_MS}


@pytest.mark.parametrize(("speed", "holds"), [(0.97, True), (0.96, False)])
def test_three_percent_of_the_speed_may_be_lost(speed: float, holds: bool) -> None:
    row: dict[str, Any] = {"watched": {watched.PAGE: {"speed": {"median": speed}}, "other": {"speed": {"median": 0.5}}}}
    assert [claim.holds for claim in watched.claims({"watched": {"cases": {"any": row}}})] == [holds]
