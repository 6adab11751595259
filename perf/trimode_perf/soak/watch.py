"""What the processes of one server hold at a moment: memory, open files, threads, shared memory, requests.

Reads /proc and the server's metrics; changes nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families
from trimode.metrics import RUNNING, WAITING

MIB = 2**20
FRONT, TRITON, STUB, HELPERS = "trimode-serve", "tritonserver", "stub", "helpers"
ROLES = {"tritonserver": TRITON, "triton_python_backend_stub": STUB}
"""The name of a process, and what it is called here; trimode-serve is the first, and all others are helpers."""
SECONDS = 5.0  # between two looks
Sample = dict[str, Any]


def look(root: int, http: str) -> Sample:
    """Return what the server whose first process is `root` holds now.

    Memory is in MiB, by process; of shared pages a process has its share. `requests` run or wait.
    """
    top = psutil.Process(root)
    found: Sample = {"memory_mib": {}, "files": {}, "threads": {}}
    for process in (top, *top.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # it ended while it was looked at
            role = FRONT if process == top else ROLES.get(process.name(), HELPERS)
            held = process.memory_full_info().pss / MIB, process.num_fds(), process.num_threads()
            for name, value in zip(found, held, strict=True):
                found[name][role] = found[name].get(role, 0) + value
    files = Path("/dev/shm").glob(f"trimode_*_{root}_*")
    found["shm_mib"] = sum(file.stat().st_blocks * 512 for file in files) / MIB
    found["requests"] = running(http)
    return found


def running(http: str) -> int:
    """Return how many requests run or wait, as the metrics say."""
    with urllib.request.urlopen(f"http://{http}/metrics", timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode("utf-8"))
    names = (RUNNING.name, WAITING.name)
    return int(sum(sample.value for family in families for sample in family.samples if sample.name in names))


def most(samples: Sequence[Sample]) -> Sample:
    """Return the largest of each figure."""
    made: Sample = {}
    for sample in samples:
        for name, value in sample.items():
            if isinstance(value, dict):
                made[name] = most([made.get(name, {}), value])
            else:
                made[name] = max(value, made.get(name, value))
    return made


class Watch:
    """Looks every few seconds inside the block; `minutes` has the most of each minute then."""

    def __init__(self, root: int, http: str) -> None:
        self._root, self._http = root, http
        self._over = threading.Event()
        self._samples: list[tuple[float, Sample]] = []
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    @property
    def minutes(self) -> list[Sample]:
        """The most of each figure in each minute so far."""
        minutes: dict[int, list[Sample]] = {}
        for at, sample in self._samples:
            minutes.setdefault(int(at // 60), []).append(sample)
        return [most(samples) for samples in minutes.values()]

    def _look_on(self) -> None:
        began = time.monotonic()
        try:
            while not self._over.wait(SECONDS):
                self._samples.append((time.monotonic() - began, look(self._root, self._http)))
        except BaseException as exc:  # raised where the block is left
            self._failed = exc
