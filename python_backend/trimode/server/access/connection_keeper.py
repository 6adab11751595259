"""ConnectionKeeper: the connections of one port, of which there are not too many, and who makes room for one more.

Both faces keep theirs so. Knows whose a connection is and whether something runs on it; no protocol.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from ...errors import Refusal

logger = logging.getLogger(__name__)

SAY_SECONDS = 10.0
"""Between two lines in the log that say the same of many connections."""
OTHERS = 8
"""One in so many connections is for other callers than the one with the most, whatever runs on its own."""


class Kept(Protocol):
    """A connection that is kept."""

    caller: str
    """What stands for all connections of its caller; see caller.neighbours."""

    @property
    def idle_since(self) -> float | None:
        """Since when (time.monotonic) nothing runs on it; None if something does."""

    def drop(self) -> None:
        """End at once: it is idle."""

    def watch(self, now: float) -> None:
        """End what took too long at `now` (time.monotonic)."""


C = TypeVar("C", bound=Kept)


class ConnectionKeeper(Generic[C]):
    """Keeps at most `most` connections. Where there is no room, the caller with the most makes it."""

    def __init__(self, most: int, kind: str = "", setting: str = "") -> None:
        """Keep none yet.

        Args:
            most: connections in all.
            kind: what the log calls them, with a space behind.
            setting: the option that sets `most`, if there is one, for the log.
        """
        self._most = most
        self._most_each = most - most // OTHERS
        self._kind = kind
        self._see = f", see {setting}" if setting else ""
        self._by_caller: dict[str, set[C]] = {}  # none is empty
        self._count = 0
        self._said: dict[str, float] = {}  # when each line was last logged

    @property
    def all(self) -> set[C]:
        """All connections, in a set of their own."""
        return set(self._each())

    def _each(self) -> Iterator[C]:
        return (connection for own in self._by_caller.values() for connection in own)

    def add(self, connection: C) -> Refusal | None:
        """Take a new connection, or return why there is no room for it."""
        own = self._by_caller.get(connection.caller, set())
        if self._count >= self._most:
            if not self._make_room(len(own)):
                return self._full(self._most)
        elif len(own) >= self._most_each and not self.free_one(own, len(own)):
            return self._full(self._most_each, "of one caller ")
        self._by_caller.setdefault(connection.caller, set()).add(connection)
        self._count += 1
        return None

    def discard(self, connection: C) -> None:
        """Forget a connection that has ended, if it is kept."""
        own = self._by_caller.get(connection.caller, set())
        if connection in own:
            own.discard(connection)
            self._count -= 1
            if not own:
                del self._by_caller[connection.caller]

    def _full(self, most: int, whose: str = "") -> Refusal:
        self.say(f"a {self._kind}connection was refused: {most} {whose}are open and busy{self._see}")
        return Refusal("overloaded", f"{most} connections {whose}are open and busy")

    def _make_room(self, count: int) -> bool:
        """End a connection for a new one of a caller with `count` others; return whether one was found.

        Asked are callers with at least as many, those with the most first.
        """
        for own in sorted(self._by_caller.values(), key=len, reverse=True):
            if len(own) < count:
                return False
            if self.free_one(own, count):
                return True
        return False

    def free_one(self, own: set[C], count: int) -> bool:
        """End one of a caller's connections for a new one of a caller with `count`; return whether that could be.

        It is the one that is idle for longest. What runs is never ended.
        """
        idle = [(since, id(one), one) for one in own if (since := one.idle_since) is not None]
        if not idle:
            return False
        oldest = min(idle)[-1]
        self.say(f"idle {self._kind}connections made room: {self._count} are open{self._see}")
        self.discard(oldest)
        oldest.drop()
        return True

    def watch(self, now: float, *more: Callable[[float], None]) -> None:
        """Let each connection end what took too long at `now` (time.monotonic), and then `more` do so."""
        for watch in (*(connection.watch for connection in self.all), *more):
            try:
                watch(now)
            except Exception:  # one connection must not end the timers of all others
                self.say("a connection's timers failed", exc_info=True)

    def say(self, line: str, *, exc_info: bool = False) -> None:
        """Warn by a line, unless that was done just now."""
        now = time.monotonic()
        if now - self._said.get(line, -SAY_SECONDS) >= SAY_SECONDS:
            self._said[line] = now
            logger.warning(line, exc_info=exc_info)
