"""JobQueue: who waits, who runs, and who must end before its answer is complete. turns.py says who is admitted next.

Any thread may submit, cancel or close; everything else is the loop's. Knows nothing of engines or of how jobs decode.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from ..errors import CancelledError, DeadlineError, OverloadedError, TrimodeError
from .job import Job
from .turns import Turns, makes_room

DISPLACED = "the queue is full, and this request made room for one of a caller that has fewer waiting; try again"


class JobQueue:
    """Jobs that wait and jobs that run, up to `max_slots` of these, and the loop's reasons to look at them."""

    def __init__(self, *, max_slots: int, max_queue: int) -> None:
        self._max_slots = max_slots
        self._max_queue = max_queue
        self._waiting: deque[Job] = deque()
        self._turns = Turns()
        self.running: list[Job] = []
        self._changed = threading.Condition()
        self._closing: float | None = None  # time.monotonic() at which what still runs is ended
        # set when a job arrives, finishes or is cancelled; cleared by the loop
        self._update_requested = True
        self._next_deadline = math.inf

    def __contains__(self, job: Job) -> bool:
        """Whether a job waits or runs."""
        return job in self.running or job in self._waiting

    @property
    def running_requests(self) -> int:
        """Requests being decoded."""
        return len(_requests(list(self.running)))

    @property
    def waiting_requests(self) -> int:
        """Requests that wait for their first slot."""
        return len(_requests(self._standing()) - _requests(list(self.running)))

    def submit(self, *jobs: Job, begun: bool = False) -> None:
        """Queue `jobs`, all or none: together they are one request, and the queue must have room for one.

        In a full queue the caller with the most waiting requests makes room for a caller with fewer, see makes_room.

        Args:
            begun: the jobs continue a request that was admitted before, which is not refused halfway for lack of room.

        Raises:
            OverloadedError: the queue is full and nobody makes room, or the server is shutting down.
            CancelledError: the server is shutting down, for a request that had begun.
        """
        with self._changed:
            if self._closing is not None:
                raise (CancelledError if begun else OverloadedError)("the server is shutting down")
            free = max(0, self._max_slots - len(self.running))
            if not begun and self.waiting_requests >= self._max_queue + free:
                displaced = makes_room(jobs[0], self._standing(), self.running)
                if not displaced:
                    running, waiting = self.running_requests, self.waiting_requests
                    raise OverloadedError(f"{running} requests run and {waiting} wait; try again")
                for job in displaced:
                    job.displaced = True
            self._turns.arrived(jobs, begun=begun)
            self._waiting += jobs
            self._wake()

    def cancel(self, job: Job) -> None:
        """End `job` before its next pass."""
        with self._changed:
            job.cancelled = True
            self._wake()

    def close(self, grace_seconds: float) -> None:
        """Accept no more jobs; end what still runs after the grace period."""
        with self._changed:
            self._closing = time.monotonic() + grace_seconds
            self._wake()

    def _wake(self) -> None:
        """Make the loop look at the queue; called with the lock held."""
        self._update_requested = True
        self._changed.notify()

    def request_update(self) -> None:
        """Make the loop look at the queue before its next step; called from the loop's own thread."""
        self._update_requested = True

    @property
    def needs_update(self) -> bool:
        """Whether the loop must `update` before its next step."""
        return self._update_requested or time.monotonic() >= self._next_deadline

    def update(self, end: Callable[[Job, TrimodeError], None], admit: Callable[[Job], None]) -> bool:
        """End what must end early, admit what fits, then sleep while nothing runs; False when there is no more to do.

        Args:
            end: ends a job with an error; it must `remove` it.
            admit: takes in a job; it must `start` it or end it.
        """
        with self._changed:
            self._update_requested = False
            self._end_early(end)
            while len(self.running) < self._max_slots and (job := self._turns.next(self._waiting, self.running)):
                admit(job)
            while not (self.running or self._update_requested):
                if self._closing is not None:
                    return False
                self._changed.wait()
        return True

    def start(self, job: Job) -> None:
        """Move a waiting job to those that run."""
        self._waiting.remove(job)
        self.running.append(job)
        self._turns.served(job, self._waiting)

    def remove(self, job: Job) -> bool:
        """Take a job out; return whether it ran."""
        if job in self._waiting:
            self._waiting.remove(job)
            return False
        self.running.remove(job)
        return True

    def _standing(self) -> list[Job]:
        """Return the waiting jobs but for those that made room, which end as soon as the loop looks."""
        return [job for job in list(self._waiting) if not job.displaced]

    def _end_early(self, end: Callable[[Job, TrimodeError], None]) -> None:
        """End what was cancelled, is out of time, or outlives the grace period; note when to look again."""
        now = time.monotonic()
        shutdown = self._closing is not None and now >= self._closing
        for job in [*self.running, *self._waiting]:
            if job.cancelled:
                end(job, CancelledError())
            elif job.displaced:
                end(job, OverloadedError(DISPLACED))
            elif shutdown:
                end(job, CancelledError("the server is shutting down"))
            elif job.deadline is not None and now >= job.deadline:
                allowed = job.deadline - job.submitted
                end(job, DeadlineError(f"the request did not finish within its timeout of {allowed:.3f} s"))
        limits = [job.deadline for job in (*self.running, *self._waiting)]
        self._next_deadline = min((at for at in (*limits, self._closing) if at is not None), default=math.inf)


def _requests(jobs: Iterable[Job]) -> set[int]:
    """Return a number for each request that `jobs` belong to."""
    return {job.request for job in jobs}
