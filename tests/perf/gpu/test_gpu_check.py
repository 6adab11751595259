"""What gpu-check keeps, says and derives, without torch: the record, the table, the implied speeds, the questions."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trimode_perf.common import published
from trimode_perf.gpu import implied, parity, record, table
from trimode_perf.gpu.record import Record, RecordError

from tests.support.official_shapes import PARAMETERS, SIZES

ROOT = Path(__file__).parents[3]
GPU = {"type": "cuda", "name": "NVIDIA H200", "torch": "2.13.0", "driver": "615.61"}
CPU = {"type": "cpu", "name": "x86_64", "torch": "2.13.0"}
CEILINGS = {"copy_bytes_per_second": 1e12, "operations_per_second": 1e15}


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


def test_implied_speeds_are_published_tokens_over_measured_passes() -> None:
    told = implied.implied([row(1, 5.0), row(8, 6.0), row(32, 8.0), {**row(64, 1), "size": "tiny"}])
    assert told == [
        {
            "size": "8b",
            "rows": 1,
            "context": 512,
            "implied_tokens_per_second": {
                "autoregressive": 200.0,
                "diffusion": round(2.57 * 1000 / 6, 1),
                "self_speculation without adapter": round(4.52 * 1000 / 16, 1),
                "self_speculation with adapter": round(5.99 * 1000 / 16, 1),
            },
        }
    ]


def test_rows_are_answered_together() -> None:
    (told,) = implied.implied([row(1, 5.0, rows=4)])
    assert told["implied_tokens_per_second"] == {"autoregressive": 800.0}  # what was not measured implies nothing


def test_the_table_says_what_was_reached_and_what_was_skipped_and_why() -> None:
    passes = [
        row(1, 2.0),
        row(32, 2.2),
        {"size": "14b", "rows": 32, "tokens": 1, "context": 8192, "skipped": "no room"},
    ]
    found = {
        "device": GPU,
        "command": "make gpu-check",
        "ceilings": CEILINGS,
        "passes": passes,
        "implied": implied.implied(passes),
        "parity": {
            "torch": {"engine": "torch 2", "rows": [dict(checkpoint="nano", mode="diffusion", asked=8, same_ids=7)]},
            "onnxruntime": {"skipped": "not here"},
            "tensorrt": {"failed": "RuntimeError: no"},
        },
    }  # fmt: skip
    text = table.text(found)
    for line in (
        "| torch 2 | nano | diffusion | 7 of 8 |",
        "| onnxruntime |  |  | skipped: not here |",
        "| tensorrt |  |  | failed: RuntimeError: no |",
        "| 8b | 1 | 512 | 1 | 2.000 (2.000 to 2.000) | 1.000 | 50% | fused |",
        "| 14b | 32 | 8192 | 1 |  |  |  | skipped: no room |",
        "| 8b | 512 | 50% | 1.10 |",
        "Implied, not measured",
    ):
        assert line in text
    assert "REHEARSAL" not in text
    assert table.text({**found, "device": CPU}).startswith("# REHEARSAL ON A CPU, NOT A GPU RESULT")


def test_arithmetic_is_the_ceiling_where_it_takes_longer() -> None:
    assert table.ceiling({"bytes": 10**9, "operations": 0}, CEILINGS) == 1.0
    assert table.ceiling({"bytes": 10**9, "operations": 2 * 10**12}, CEILINGS) == 2.0


def test_every_mode_is_asked_of_every_checkpoint() -> None:
    asked = {checkpoint.name: questions for checkpoint, questions in parity.questions()}
    assert list(asked) == ["plain", "wide", "yarn", "nano"]
    for questions in asked.values():
        assert {one.mode for one in questions} == set(parity.MODES.values())
        assert all(one.expected and len(one.expected) <= one.max_tokens for one in questions)
    assert len(asked["nano"]) == 3 * 8


def test_an_engine_that_differs_in_one_token_is_told() -> None:
    (wrong, *_) = next(questions for checkpoint, questions in parity.questions() if checkpoint.name == "yarn")

    class Decoder:
        def decode(self, asked: Any) -> list[int]:
            return [*asked.expected[:-1], -1] if asked == wrong else asked.expected

        def close(self) -> None:
            closed.append(self)

    class Engine:
        about = "a fake"

        def load(self, checkpoint: Path, *, longest: int) -> Decoder:
            return Decoder()

    closed: list[Decoder] = []
    told = parity.check(Engine())
    assert told["differing"] == [f"yarn/{wrong.name}"]
    assert len(closed) == 4
    assert sum(row["asked"] - row["same_ids"] for row in told["rows"]) == 1


def test_the_released_shapes_are_the_ones_that_the_converter_is_tested_with() -> None:
    for size, config in published.CONFIGS.items():
        assert sum(math.prod(shape) for shape in published.tensors(config).values()) == PARAMETERS[size]
        assert {config[key] == value for key, value in SIZES[size].items() if not key.startswith("rope")} == {True}


def test_without_a_gpu_it_says_so_and_fails() -> None:
    """In the environment of the unit tests there is no torch at all."""
    done = subprocess.run(
        [sys.executable, "-m", "trimode_perf.gpu"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "perf")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "gpu-check: torch cannot be imported: No module named 'torch'; PYTHON=... names a Python with it\n"
    )


def test_the_results_that_are_kept_are_of_gpus() -> None:
    for file in (ROOT / "perf" / "results" / "gpu").glob("*.json"):
        found = json.loads(file.read_text(encoding="utf-8"))
        assert found["device"]["type"] == "cuda"
        assert "warning" not in found
