"""Receiver: who hears what happens on a stream. Nobody hears of one that is over."""

from __future__ import annotations

from typing import Protocol

from .header_reader import Fields


class Receiver(Protocol):
    """Whom a stream tells what happens on it; all at once, in the event loop."""

    @property
    def busy(self) -> bool:
        """Whether something runs on the stream, so that its connection must stay."""

    def fields(self, fields: Fields) -> None:
        """Take a block of header fields; the last one of a stream has its trailers."""

    def data(self, data: bytes) -> None:
        """Take bytes in the order in which they were sent."""

    def ended(self) -> None:
        """Note that the other side sends no more."""

    def lost(self, code: int | None) -> None:
        """Note that the stream is over before its end: reset with a code, or None where the connection is gone."""

    def drained(self) -> None:
        """Note that all that was to be sent has left; something had to wait before."""


class Nobody:
    """The receiver of a stream that is over."""

    busy = False

    def fields(self, fields: Fields) -> None:
        """Hear nothing."""

    def data(self, data: bytes) -> None:
        """Hear nothing."""

    def ended(self) -> None:
        """Hear nothing."""

    def lost(self, code: int | None) -> None:
        """Hear nothing."""

    def drained(self) -> None:
        """Hear nothing."""


NOBODY = Nobody()
