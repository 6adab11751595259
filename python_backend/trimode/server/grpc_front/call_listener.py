"""Listener: who answers a call. Once and Relay are the two."""

from __future__ import annotations

from typing import Protocol

from ...errors import TrimodeError


class Listener(Protocol):
    """Who answers a call."""

    @property
    def busy(self) -> bool:
        """Whether something runs, so that the connection must stay."""

    @property
    def once(self) -> bool:
        """Whether it answers when the caller has sent all, so that all together has the time of one message."""

    @property
    def held(self) -> int:
        """Bytes of messages that it keeps until then."""

    @property
    def blocked(self) -> bool:
        """Whether messages must wait, since what comes of them has nowhere to go."""

    def message(self, message: bytes) -> None:
        """Take the next message."""

    def refused(self, error: TrimodeError) -> None:
        """Note a message that was not read, and why."""

    def finished(self) -> None:
        """Note that the caller sends no more messages."""

    def left(self) -> None:
        """Note that the call is over: nobody hears an answer."""

    def drained(self) -> None:
        """Note that the caller has read what waited for it."""
