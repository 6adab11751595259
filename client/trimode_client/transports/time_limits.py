"""TimeLimits: how long to wait for the next response; and the limits that hold unless a caller gives others.

Knows the clock; knows nothing of protocols.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from ..errors import DeadlineError, StalledError, TrimodeClientError

ANSWER_SECONDS = 300.0  # for a whole answer; a long one of a large model takes minutes on a CPU
INACTIVITY_SECONDS = 60.0  # between two responses; a server that is silent for longer is taken to be stuck
HEALTH_SECONDS = 5.0  # for a server's state, which takes milliseconds unless something is wrong
POLL_SECONDS = 0.1  # between two questions whether a server is ready; a start takes seconds
_CLOCK_SLACK_SECONDS = 0.001  # a wait may end this much before the overall limit that ended it


class TimeLimits:
    """The limits of one request, made when it is sent.

    Args:
        timeout: seconds that the whole answer may take, None for no limit.
        inactivity: seconds between two responses, None for no limit.
    """

    def __init__(self, timeout: float | None, inactivity: float | None) -> None:
        self._timeout = timeout
        self._inactivity = inactivity
        self._ends = None if timeout is None else time.monotonic() + timeout

    def seconds_left(self) -> float | None:
        """Return the seconds that the next response may take, None for no limit.

        Raises:
            DeadlineError: the overall limit has passed.
        """
        if self._ends is None:
            return self._inactivity
        left = self._ends - time.monotonic()
        if left <= 0:
            raise self._deadline_error()
        return left if self._inactivity is None else min(left, self._inactivity)

    def overall_left(self) -> float | None:
        """Return the seconds until the overall limit, below 0 once it has passed; None without one."""
        return None if self._ends is None else self._ends - time.monotonic()

    def shortened(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request's fields for sending it now: the server, too, has only the time that is left."""
        left = self.overall_left()
        if left is None or "timeout_ms" not in fields:
            return dict(fields)
        return {**fields, "timeout_ms": min(fields["timeout_ms"], max(1, math.ceil(left * 1000)))}

    def error(self) -> TrimodeClientError:
        """Return the error for a wait that ended without a response, by the limit that ended it."""
        if self._ends is not None and time.monotonic() >= self._ends - _CLOCK_SLACK_SECONDS:
            return self._deadline_error()
        return StalledError(f"no response within {self._inactivity:g} s; the server is stuck or gone")

    def _deadline_error(self) -> DeadlineError:
        return DeadlineError("deadline_exceeded", f"the answer was not complete within {self._timeout:g} s")
