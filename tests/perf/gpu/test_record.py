"""What gpu-check keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode_perf.gpu import record
from trimode_perf.gpu.record import Record, RecordError

ROOT = Path(__file__).parents[3]
GPU = {"type": "cuda", "name": "NVIDIA H200", "torch": "2.13.0", "driver": "615.61"}
CPU = {"type": "cpu", "name": "x86_64", "torch": "2.13.0"}


def row(tokens: int, milliseconds: float, *, size: str = "8b", rows: int = 1, context: int = 512) -> dict[str, Any]:
    """A row of passes that must move 1 GB."""
    times = {"median": milliseconds, "low": milliseconds, "high": milliseconds}
    place = {"size": size, "rows": rows, "tokens": tokens, "context": context}
    return {**place, "milliseconds": times, "attention": "fused", "bytes": 10**9, "operations": 10**9}


def test_a_record_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    first = Record.open(path, GPU, fresh=False)
    first.add(row(1, 2.0))
    first.add({**row(8, 2.0), "milliseconds": None, "skipped": "no room"} | {"milliseconds": 1})
    first.add({"size": "8b", "rows": 32, "tokens": 1, "context": 512, "skipped": "no room"})
    again = Record.open(path, GPU, fresh=False)
    assert again.done() == {("8b", 1, 1, 512), ("8b", 1, 8, 512)}  # what was skipped is tried again
    again.add(row(1, 3.0))
    assert [r["milliseconds"]["median"] for r in again.found["passes"] if r["tokens"] == 1 and r["rows"] == 1] == [3.0]
    assert list(tmp_path.iterdir()) == [path]
    assert Record.open(path, GPU, fresh=True).done() == set()


def test_figures_of_two_machines_are_not_put_together(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    Record.open(path, GPU, fresh=False).save()
    with pytest.raises(RecordError, match=r"device: .*'615.61'.*--fresh replaces it, --out FILE keeps both"):
        Record.open(path, {**GPU, "driver": "580.1"}, fresh=False)
    path.write_text("{")
    with pytest.raises(RecordError, match="is not JSON"):
        Record.open(path, GPU, fresh=False)


def test_a_gpus_results_go_under_its_name_and_a_rehearsals_elsewhere() -> None:
    assert Record.open(None, GPU, fresh=True).path == ROOT / "perf/results/gpu/nvidia-h200.json"
    rehearsal = Record.open(None, CPU, fresh=True)
    assert rehearsal.path.parent == ROOT / "perf/out"
    assert rehearsal.found["warning"] == "REHEARSAL ON A CPU, NOT A GPU RESULT"
    with pytest.raises(RecordError, match="a rehearsal on a CPU does not go to"):
        Record.open(record.GPU_RESULTS / "x.json", CPU, fresh=True)


def test_the_results_that_are_kept_are_of_gpus() -> None:
    for file in (ROOT / "perf" / "results" / "gpu").glob("*.json"):
        found = json.loads(file.read_text(encoding="utf-8"))
        assert found["device"]["type"] == "cuda"
        assert "warning" not in found


def attended(variant: str, **more: Any) -> dict[str, Any]:
    return {"variant": variant, **more}


def test_of_attention_what_has_a_time_is_done_and_takes_the_place_of_what_was_said(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    shape = {"rows": 1, "tokens": 8, "length": 1024}
    first = Record.open(path, GPU, fresh=False)
    for row in (
        attended("lengths", skipped="triton cannot be imported"),
        attended("longest", **shape, failed="RuntimeError: no"),
        attended("longest", **{**shape, "length": 8192}, milliseconds=1),
    ):
        first.add_attention(row)
    again = Record.open(path, GPU, fresh=False)
    assert again.attended() == {("longest", 1, 8, 8192)}  # what was skipped or failed is tried again
    again.add_attention(attended("longest", **shape, milliseconds=2))
    again.add_attention(attended("lengths", **shape, failed="ValueError: no"))
    assert "lengths" in {row["variant"] for row in again.found["attention"] if "skipped" in row}
    again.add_attention(attended("lengths", **shape, milliseconds=3))
    assert again.attended() == {("longest", 1, 8, 8192), ("longest", 1, 8, 1024), ("lengths", 1, 8, 1024)}
    assert len(again.found["attention"]) == 3
