"""What each path adds."""

from __future__ import annotations

from trimode_perf.speed import MODES, layers


def test_overhead_is_against_the_engine_time_of_the_same_round() -> None:
    samples = [
        layers.Sample(r, 0, mode, path, seconds * r, 10, "t", seconds * r / 4 if path == "loop" else None)
        for r in (1, 2)
        for mode in MODES
        for path, seconds in (("loop", 2.0), ("grpc", 3.0), ("http", 4.0))
    ]
    found = layers.summarise(samples)
    assert found["over_engine"]["diffusion"]["grpc"] == {"median": 6.0, "low": 6.0, "high": 6.0}
    assert found["paths_agree"]
