"""Patience: how long to wait for the next response, from an overall limit and an inactivity limit in seconds."""

from __future__ import annotations

import time

from ..errors import DeadlineError, StalledError, TrimodeClientError


class Patience:
    """Made when a request is sent; None stands for no limit."""

    def __init__(self, timeout: float | None, inactivity: float | None) -> None:
        self._timeout = timeout
        self._inactivity = inactivity
        self._ends = None if timeout is None else time.monotonic() + timeout

    def wait(self) -> float | None:
        """Return the seconds that the next response may take.

        Raises:
            DeadlineError: the overall limit has passed.
        """
        if self._ends is None:
            return self._inactivity
        left = self._ends - time.monotonic()
        if left <= 0:
            raise self._deadline()
        return left if self._inactivity is None else min(left, self._inactivity)

    def exhausted(self) -> TrimodeClientError:
        """Return the error for a wait that passed without a response: whichever limit it was."""
        if self._ends is not None and time.monotonic() >= self._ends - 0.001:
            return self._deadline()
        return StalledError(f"no response within {self._inactivity:g} s; the server is stuck or gone")

    def _deadline(self) -> DeadlineError:
        return DeadlineError("deadline_exceeded", f"the answer was not complete within {self._timeout:g} s")
