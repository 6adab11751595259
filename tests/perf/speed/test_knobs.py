"""The sweep of knobs, on a toy engine."""

from __future__ import annotations

from trimode_perf.speed import Context, knobs


def test_every_point_of_a_sweep_is_set_against_autoregressive(context: Context) -> None:
    found = knobs.measure(context)["sweep"]
    assert [row["value"] for row in found["rows"]] == [point.value for point in knobs.settings(32)]
    assert (found["rounds"], found["prompts"]) == (knobs.MIN_ROUNDS, knobs.MIN_PROMPTS)
    exact = [row for row in found["rows"] if row["mode"] == "self_speculation"]
    assert all(row["equals_autoregressive"] == 1.0 for row in exact)
