"""Arrival: what one call holds of messages that arrive: its share of all bodies that are read, and its timer.

Knows sizes and times, no message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..http_front.bodies import Body
from ..serving import Limits


class Arrival:
    """What one call of `caller` holds. `give_up` is to let go of it for another caller's, `late` hears of the timer."""

    def __init__(self, limits: Limits, caller: str, give_up: Callable[[], None], late: Callable[[], None]) -> None:
        self._limits = limits
        self._caller = caller
        self._give_up = give_up
        self._late = late
        self._body: Body | None = None
        self._awaited: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def note(self, size: int, awaited: int | None) -> None:
        """Count `size` bytes in all. `awaited` stands for the message whose rest is waited for; None for none.

        Raises:
            Refusal: that is too much together with all that is being read.
        """
        if awaited != self._awaited:
            self._awaited = awaited
            self._stop_timer()
            if awaited is not None:
                self._timer = asyncio.get_running_loop().call_later(self._limits.upload_seconds, self._late)
        if not size:
            self._forget()
            return
        if self._body is None:
            self._body = self._limits.bodies.begin(self._caller)
            self._body.make_room = self._give_up
        if size > self._body.size:
            self._limits.bodies.grow(self._body, size - self._body.size)
        else:
            self._limits.bodies.shrink(self._body, self._body.size - size)

    def keep(self) -> None:
        """Let what is held count on, and make no room: it is being answered."""
        if self._body is not None:
            self._body.make_room = None

    def end(self) -> None:
        """Count nothing any more, and stop the timer."""
        self._awaited = None
        self._stop_timer()
        self._forget()

    def close(self) -> None:
        """End, and know nobody any more who is to hear of it."""
        self.end()
        self._give_up = self._late = lambda: None

    def _forget(self) -> None:
        if self._body is not None:
            self._limits.bodies.end(self._body)
            self._body = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
