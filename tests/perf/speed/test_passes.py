"""The cost of passes, on an engine that does nothing."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode_perf.speed import Context, passes


def test_passes_of_every_size_are_set_against_one_token(monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
    class Engine:
        def allocate(self, block: bool) -> int:
            return 0

        def run(self, rows: list[Any]) -> None:
            pass

    monkeypatch.setattr(OnnxRuntimeEngine, "open", lambda *args, **options: Engine())
    rows = passes.measure(context)["cost"]["rows"]
    assert [row["tokens"] for row in rows] == list(passes.SIZES)
    assert rows[0]["times_one"] == {"median": 1.0, "low": 1.0, "high": 1.0}
