"""The device that is measured: its name, its memory, the time of a call on it, and the two ceilings of its roofline.

A CPU stands in for rehearsals: the same code at tiny shapes, whose figures say nothing of a GPU.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch

from ..common.progress import MeasureError
from ..common.statistics import Spread

COPIED_BYTES = {"cuda": 1 << 30, "cpu": 1 << 24}
PRODUCT = {"cuda": 8192, "cpu": 128}
CEILING_REPEATS = 20
WARM_UPS = 3  # calls before a graph is captured, as torch's own recipe has it


class NoDeviceError(MeasureError):
    """There is no such device; the text says what was looked for."""


@dataclass(frozen=True)
class Device:
    """A torch device. `kind` is "cuda" or "cpu"."""

    kind: str

    @classmethod
    def open(cls, kind: str) -> Device:
        """Return the device of this kind; raises NoDeviceError if torch sees no GPU."""
        if kind == "cuda" and not torch.cuda.is_available():
            built = torch.version.cuda or "no CUDA"
            raise NoDeviceError(
                f"torch {torch.__version__} (built for {built}) sees no NVIDIA GPU here. "
                "Run it on a machine with one, or rehearse it with --device cpu"
            )
        return cls(kind)

    @property
    def is_gpu(self) -> bool:
        """Whether figures taken here are a GPU's."""
        return self.kind == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """What the released shapes are measured in; float32 on a CPU, where bfloat16 has no kernels on many."""
        return torch.bfloat16 if self.is_gpu else torch.float32

    def describe(self) -> dict[str, Any]:
        """Return what figures depend on: two runs with equal descriptions may be put together."""
        known: dict[str, Any] = {"type": self.kind, "torch": torch.__version__, "python": platform.python_version()}
        if not self.is_gpu:
            return {**known, "name": platform.processor() or platform.machine()}
        facts = torch.cuda.get_device_properties(0)
        return {
            **known,
            "name": facts.name,
            "compute_capability": f"{facts.major}.{facts.minor}",
            "memory_bytes": facts.total_memory,
            "multiprocessors": facts.multi_processor_count,
            "cuda": torch.version.cuda,
            "driver": _driver(),
        }

    def free_bytes(self) -> int:
        """Return the memory that can still be taken; a rehearsal takes next to none, so what it has is not asked."""
        if not self.is_gpu:
            return 1 << 34
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info()[0])

    def spoiled(self) -> bool:
        """Return whether an error, such as an illegal address, ended this process's CUDA: all later calls repeat it."""
        if not self.is_gpu:
            return False
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            return True
        return False

    def time(self, call: Callable[[], object], repeats: int) -> list[float]:
        """Return the milliseconds of each of `repeats` calls, on the GPU's own clock where there is one."""
        if not self.is_gpu:
            stamps = [time.perf_counter()]
            for _ in range(repeats):
                call()
                stamps.append(time.perf_counter())
            return [1000 * (ended - began) for began, ended in pairwise(stamps)]
        event = partial(torch.cuda.Event, enable_timing=True)
        marks = [(event(), event()) for _ in range(repeats)]
        for began, ended in marks:
            began.record()
            call()
            ended.record()
        torch.cuda.synchronize()
        return [float(began.elapsed_time(ended)) for began, ended in marks]

    def captured(self, call: Callable[[], object]) -> Callable[[], object]:
        """Return what runs the call again, from a CUDA graph on a GPU; it must use the same memory each time."""
        return captured(call) if self.is_gpu else call

    def ceilings(self) -> dict[str, float]:
        """Measure bytes a second in a copy, read and written counted, and operations a second in a square product."""
        side, size = PRODUCT[self.kind], COPIED_BYTES[self.kind]
        source, target = (torch.empty(size, dtype=torch.uint8, device=self.kind) for _ in range(2))
        a, b, out = (torch.randn(side, side, device=self.kind, dtype=self.dtype) for _ in range(3))
        calls = (partial(target.copy_, source), partial(torch.mm, a, b, out=out))
        copied, multiplied = (self._typical(call) / 1000 for call in calls)
        return {"copy_bytes_per_second": 2 * size / copied, "operations_per_second": 2 * side**3 / multiplied}

    def _typical(self, call: Callable[[], object]) -> float:
        self.time(call, 3)
        return Spread.of(self.time(call, CEILING_REPEATS)).median


def captured(call: Callable[[], object]) -> Callable[[], object]:
    """Record a call on the current GPU as a CUDA graph, after it has run a few times; return what replays it."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    replay: Callable[[], object] = graph.replay
    return replay


def _driver() -> str:
    """The driver's version as its kernel module gives it; empty where it does not."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8") as file:
            words = file.readline().split()
    except OSError:
        return ""
    return next((word for word in words if word[0].isdigit() and "." in word), "")
