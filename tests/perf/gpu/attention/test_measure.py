"""What is measured at each shape, and what becomes of a way that is wrong, fails, or cannot run here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="make test-train has PyTorch")

from trimode_perf.gpu.attention import measure, variants  # noqa: E402
from trimode_perf.gpu.attention.measure import TINY_WORK, Work  # noqa: E402
from trimode_perf.gpu.attention.problem import Problem, Shape  # noqa: E402
from trimode_perf.gpu.device import Device  # noqa: E402
from trimode_perf.gpu.needs import Unavailable  # noqa: E402

CPU = Device("cpu")
SMALL = replace(TINY_WORK, rows=(2,), tokens=(3,), seconds=0.001)


def test_a_gpu_is_asked_all_shapes_of_the_released_heads() -> None:
    shapes = Work().shapes()
    assert len(shapes) == len(set(shapes)) == 18
    assert {shape.length for shape in shapes} == {1024, 8192, 32768}
    assert all(shape.length <= Work().capacity for shape in shapes)


def test_the_bytes_are_those_of_the_rows_own_entries() -> None:
    assert Work().read_bytes(Shape(1, 1, 1024), 2) == 2 * 1024 * 8 * 128 * 2
    assert Work().read_bytes(Shape(8, 1, 1024), 2) == 2 * 4580 * 8 * 128 * 2


def test_a_call_reads_more_than_a_second_cache_holds_if_there_is_room() -> None:
    work, ample = Work(), 1 << 40
    for shape in work.shapes():
        layers = work.layers(shape, 2, ample)
        read = layers * work.read_bytes(shape, 2)
        assert 1 <= layers <= measure.MOST_LAYERS and (read >= measure.READ_BYTES or layers == measure.MOST_LAYERS)
    assert work.layers(Shape(8, 1, 1024), 2, 12 << 30) == 7
    assert work.layers(Shape(8, 1, 1024), 2, 1 << 30) == 0


def test_every_shape_has_its_milliseconds_of_a_layer() -> None:
    rows = list(measure.measure(["longest"], TINY_WORK, CPU))
    assert [(row["rows"], row["tokens"], row["length"]) for row in rows] == [
        (rows, tokens, length) for rows in (1, 3) for tokens in (1, 5) for length in (33, 70)
    ]
    for row in rows:
        times = row["milliseconds"]
        assert 0 < times["low"] <= times["median"] <= times["high"]
        assert 0 <= row["error"] <= measure.TOLERANCE[torch.float32]
        assert row["bytes"] == 2 * sum(row["lengths"]) * 2 * 16 * 4
        assert (row["variant"], row["capacity"], len(row["lengths"])) == ("longest", 80, row["rows"])


def test_what_is_done_is_not_done_again() -> None:
    (row,) = measure.measure(["longest"], SMALL, CPU, done=[("longest", 2, 3, 33), ("capacity", 2, 3, 70)])
    assert row["length"] == 70


def test_a_wrong_way_is_a_fault_and_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def sees_all(problem: Problem) -> variants.Attend:
        problem.seen.fill_(problem.shape.length)
        attend = variants.over_longest(problem)
        problem.seen.copy_(torch.tensor([problem._counts(row) for row in range(problem.shape.rows)]))
        return attend

    def broken(problem: Problem) -> variants.Attend:
        raise RuntimeError("no such kernel\nand a long trace")

    def missing(problem: Problem) -> variants.Attend:
        raise Unavailable("there is none here")

    made: dict[str, Any] = {"wrong": sees_all, "broken": broken, "missing": missing}
    monkeypatch.setattr(measure, "VARIANTS", {**variants.VARIANTS, **made})
    rows = list(measure.measure([*made, "longest"], SMALL, CPU))
    assert [row["variant"] for row in rows] == ["wrong"] * 2 + ["broken"] * 2 + ["missing"] + ["longest"] * 2
    for row in rows[:2]:
        assert row["failed"].startswith("a relative error of ") and "milliseconds" not in row
    assert rows[2] == {"variant": "broken", "rows": 2, "tokens": 3, "length": 33} | {
        "failed": "RuntimeError: no such kernel"
    }
    assert rows[4] == {"variant": "missing", "skipped": "there is none here"}
    assert all("milliseconds" in row for row in rows[5:])


def test_a_way_that_ran_at_one_shape_fails_at_another_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def uncompiled(problem: Problem) -> variants.Attend:
        if problem.shape.length != 70:
            return variants.over_longest(problem)
        try:
            raise ValueError("no such tile\nand more")
        except ValueError as exc:
            raise Unavailable("compiling is not possible here") from exc

    monkeypatch.setattr(measure, "VARIANTS", {"tiles": uncompiled})
    work = replace(SMALL, lengths=(33, 70, 40))
    first, second, third = measure.measure(["tiles"], work, CPU)
    assert (second["length"], second["failed"]) == (70, "ValueError: no such tile")
    assert "milliseconds" in first and "milliseconds" in third
    rows = list(measure.measure(["tiles"], work, CPU, done=[("tiles", 2, 3, 33)]))
    assert [row["length"] for row in rows] == [70, 40], "another process had the first shape"
    assert list(measure.measure(["tiles"], replace(work, lengths=(70, 40)), CPU)) == [
        {"variant": "tiles", "skipped": "compiling is not possible here"}
    ]


def test_after_a_fault_that_spoils_cuda_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(problem: Problem) -> variants.Attend:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(measure, "VARIANTS", {"broken": broken})
    monkeypatch.setattr(Device, "spoiled", lambda self: True)
    rows = measure.measure(["broken"], SMALL, CPU)
    assert next(rows)["failed"].endswith("illegal memory access was encountered")
    with pytest.raises(measure.SpoiledError):
        next(rows)
