"""What README and docs/benchmarks.md say of GPUs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimode_perf.common import gpu_pages

ROOT = Path(__file__).parents[3]
GPU = {"type": "cuda", "name": "NVIDIA H200"}
SAME = [{"checkpoint": "nano", "mode": "autoregressive", "asked": 8, "same_ids": 8}]
LOOP = {
    **{"size": "8b", "mode": "diffusion", "rows": 8, "tokens": 800, "seconds": 2.0, "passes": 100},
    **{"seconds_in_passes": 1.5, "host_milliseconds_a_pass": 5.0},
}
RAN: dict[str, Any] = {
    "device": GPU,
    "parity": {"product": {"rows": SAME, "differing": []}, "tensorrt": {"skipped": "tensorrt cannot be imported"}},
    "expected": [
        {"runtime": "torch", "precision": "fp8", "found": "as expected", "fault": False},
        {"runtime": "tensorrt", "precision": "fp8", "found": "skipped: no", "fault": False},
    ],
    "calls": {"calls": 300, "rows": 700, "largest": 2e-6, "alone": 1e-6},
    "driver": {"copies": "ok", "lanes": "it differs"},
    "product": [LOOP],
    "passes": [{"milliseconds": {}}, {"skipped": "no room"}],
    "stopped": {"passes, 3b": "stopped after 12 s"},
}


def keep(folder: Path, name: str, found: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(found))


def test_the_writer_puts_a_line_for_each_part_into_both_pages(tmp_path: Path) -> None:
    folder = tmp_path / "gpu"
    keep(folder, "nvidia-h200", RAN)
    keep(folder, "rehearsal", {**RAN, "device": {"type": "cpu", "name": "x86_64"}})
    (tmp_path / "docs").mkdir()
    for page in ("README.md", "docs/benchmarks.md"):
        (tmp_path / page).write_bytes((ROOT / page).read_bytes())
    gpu_pages.write(tmp_path, folder)
    readme = (tmp_path / "README.md").read_text()
    assert (
        "| PyTorch, by `ENGINE=torch` | runs on CPUs and NVIDIA H200: [what ran](docs/benchmarks.md#on-gpus) |"
        in readme
    )
    assert "| TensorRT on NVIDIA GPUs | compiled, never executed on a GPU; it [copies the cache]" in readme
    lines = (tmp_path / "docs/benchmarks.md").read_text().splitlines()
    device = "| [NVIDIA H200](../perf/results/gpu/nvidia-h200.md) | "
    assert [line.removeprefix(device) for line in lines if line.startswith(device)] == [
        "ids, this project's torch engine | 8 of 8 answers are the reference's to the last id |",
        "ids, tensorrt | skipped: tensorrt cannot be imported |",
        "expected rows | 1 of 2 compared, 0 with a fault |",
        "random calls | 700 rows, 2.0e-06 of the largest logit away from the processor's at most |",
        "CUDA's driver | 1 of 2 checks are right |",
        "product's loop, 8b, diffusion, 8 at once | 400.0 tokens/s, 15.00 ms a pass and 5.00 ms beside it |",
        "passes | 1 shapes timed |",
        "passes, 3b | stopped after 12 s |",
    ]
    (folder / "nvidia-h200.json").unlink()
    gpu_pages.write(tmp_path, folder)
    assert gpu_pages.NOTHING in (tmp_path / "docs/benchmarks.md").read_text()
    assert (tmp_path / "README.md").read_text() == gpu_pages.filled((ROOT / "README.md").read_text(), {})
    assert "[never executed](docs/guides/gpu.md) |" in (tmp_path / "README.md").read_text()


def test_an_engine_that_gave_other_ids_is_not_said_to_run() -> None:
    wrong = {"rows": SAME, "differing": ["nano/count-1"]}
    found = {"a": {"device": GPU, "parity": {"product": wrong, "tensorrt": {"failed": "RuntimeError: no"}}}}
    assert gpu_pages.torch_status(found).startswith("runs on CPUs, fails on NVIDIA H200: ")
    assert gpu_pages.tensorrt_status(found).startswith("[compiled, fails on NVIDIA H200](")
    assert dict(gpu_pages.parts(found["a"]))["ids, tensorrt"] == "failed: RuntimeError: no"
