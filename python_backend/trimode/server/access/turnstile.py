"""Turnstile: counts each caller's requests, and refuses those above its limits. Both faces enter by the same one.

A request counts from the moment it is let in, whether it turns out valid or not; one that is refused here does not.
Tokens are counted where they are made, see triton/token_budgets.py. Knows nothing of HTTP, gRPC or keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from ...errors import ERROR_TYPES, RateLimitedError
from ...metrics.sliding_minute import MINUTE, SlidingMinute
from ...tracing.spans import ServedSpan
from .rates import UNLIMITED, Rates

FREE_SECONDS = 1.0
"""After which a caller with too many requests at once may ask again: when one of them ends is not known."""


OTHERS: dict[type[Exception], str] = {ConnectionRefusedError: "unavailable", TimeoutError: "deadline_exceeded"}
"""Types of errors by what stands for them until they leave the server."""


class Visit:
    """One request of a caller, from when it is let in to the end of its answer.

    Attributes:
        caller: who sent it.
        token_rate: the tokens a minute that an instance of the model may give its caller, None for any number.
        span: of the request, which ends with it; None where nobody asked for spans.
    """

    def __init__(self, caller: str, token_rate: int | None = None, leave: Callable[[], None] | None = None) -> None:
        self.caller = caller
        self.token_rate = token_rate
        self.span: ServedSpan | None = None
        self._leave = leave

    @property
    def traceparent(self) -> str:
        """What names the span to those who work for it, "" without one."""
        return "" if self.span is None else self.span.traceparent

    def leave(self, error_type: str = "") -> None:
        """End it, with the type of the error that its caller got, "" if it got none; a second call does nothing."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
        span, self.span = self.span, None
        if span is not None:
            if error_type:
                span.failed(error_type)
            span.end()

    def answered(self, status: int, error_type: str = "") -> None:
        """Note the status of the answer over HTTP, and the type of the error that it is."""
        if self.span is not None:
            self.span.answered(status)
            if error_type:
                self.span.failed(error_type)

    def __enter__(self) -> Visit:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        error_type = "" if value is None else _type_of(value)
        if error_type in ERROR_TYPES:
            self.answered(ERROR_TYPES[error_type].http_status)
        self.leave(error_type)


def _type_of(error: BaseException) -> str:
    """Return the type of the error that a caller over HTTP gets for what ended its request."""
    if not isinstance(error, Exception):
        return "cancelled"  # its caller left
    other = next((name for kind, name in OTHERS.items() if isinstance(error, kind)), "internal")
    return str(getattr(error, "error_type", other))  # each face has errors of its own


class _Counts:
    """What one caller has asked for."""

    def __init__(self) -> None:
        self.running = 0
        self.requests = SlidingMinute()

    def left(self) -> None:
        self.running -= 1


class Turnstile:
    """Lets callers in by their rates."""

    def __init__(
        self,
        rates_of: Callable[[str], Rates] = lambda _: UNLIMITED,
        instances: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make one.

        Args:
            rates_of: the rates of a caller as they are now.
            instances: of the model. Each counts tokens for itself, so each gets its share of a caller's rate.
            clock: seconds.
        """
        self._instances = instances
        self._rates_of = rates_of
        self._clock = clock
        self._counts: dict[str, _Counts] = {}  # of callers that had a limit in the last two minutes
        self._swept = clock()

    def enter(self, caller: str) -> Visit:
        """Let one request of a caller in; leave the visit at its end.

        Raises:
            RateLimitedError: the caller has reached one of its limits.
        """
        rates = self._rates_of(caller)
        if rates.requests_per_minute is None and rates.concurrent_requests is None:
            return Visit(caller, self._share(rates))
        now = self._clock()
        self._sweep(now)
        counts = self._counts.setdefault(caller, _Counts())
        most, had = rates.concurrent_requests, counts.running
        if most is not None and had >= most:
            raise RateLimitedError("concurrent_requests", most, had + 1, FREE_SECONDS)
        most, had = rates.requests_per_minute, counts.requests.total(now)
        if most is not None:
            if had >= most:
                wait = counts.requests.seconds_until_below(most, now)
                raise RateLimitedError("requests_per_minute", most, had + 1, wait)
            counts.requests.add(1, now)
        counts.running += 1
        return Visit(caller, self._share(rates), counts.left)

    def _share(self, rates: Rates) -> int | None:
        return rates.tokens_per_minute and max(rates.tokens_per_minute // self._instances, 1)

    def _sweep(self, now: float) -> None:
        """Forget, once a minute, callers of whom nothing counts any more."""
        if now - self._swept >= MINUTE:
            self._swept = now
            kept = {name: one for name, one in self._counts.items() if one.running or one.requests.total(now)}
            self._counts = kept
