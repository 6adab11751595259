"""Builds schedulers over engines that wait at a gate, and closes them after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.gated_scheduler import GatedScheduler


@pytest.fixture
def build() -> Iterator[Callable[..., GatedScheduler]]:
    made: list[GatedScheduler] = []

    def make(**limits: int) -> GatedScheduler:
        made.append(GatedScheduler(**limits))
        return made[-1]

    yield make
    for bench in made:
        bench.engine.gate.set()
        bench.scheduler.close(0)
