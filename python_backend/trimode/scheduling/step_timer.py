"""StepTimer: what the engine calls of one step took, and what surrounded them, for mode auto's cost curve."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..auto.chooser import Call
from ..engines.base import Engine, Row
from .batching import has_own_mask, reads_text
from .job import Job


class StepTimer:
    """Times one step. `calls` are those that decoded: a call that reads a text says nothing of them."""

    def __init__(self, jobs: int, *, observed: bool) -> None:
        """Begin; a step that is not `observed` collects no calls. `jobs` run when it begins."""
        self.calls: list[Call] = []
        self._observed = observed
        self._jobs = jobs
        self._plain = True  # nothing was read, and no call failed
        self._in_calls = 0.0
        self._began = time.perf_counter()

    def ran(self, group: Sequence[tuple[Job, Row]], seconds: float, engine: Engine) -> None:
        """Record a call that has run, while the cache is as it was for it."""
        self._in_calls += seconds
        if not self._observed:
            return
        if any(reads_text(job.sequence) for job, _ in group):
            self._plain = False
        else:
            longest = max(len(row.tokens) for _, row in group)
            quadratic = any(has_own_mask(row) for _, row in group)
            self.calls.append(Call(len(group), longest, engine.capacity, seconds, quadratic))

    def failed(self) -> None:
        """Record that a call failed, so that the time around the others is not known."""
        self._plain = False

    def around(self, jobs: int) -> float | None:
        """Return the seconds of the step outside its calls; None where something was read, failed or ended in it."""
        plain = self._plain and jobs == self._jobs
        return time.perf_counter() - self._began - self._in_calls if plain else None
