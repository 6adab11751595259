"""MessageReader: gRPC's messages out of a stream of bytes. Each has five bytes in front: if it is compressed, its size.

Knows nothing of what a message holds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

PREFIX = struct.Struct(">BL")


def framed(message: bytes) -> bytes:
    """Return a message as it is sent."""
    return PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Hands each whole message on, with its prefix; one that is too large is passed over, and handed on as its size."""

    def __init__(self, most_bytes: int, take: Callable[[bytes], None], too_large: Callable[[int], None]) -> None:
        self._most = most_bytes
        self._take = take
        self._too_large = too_large
        self._held = bytearray()
        self._over = 0  # bytes to pass over

    @property
    def within(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._held or self._over)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if not (self._held or self._over) and len(data) >= PREFIX.size:  # most often they are one whole message
            _, size = PREFIX.unpack_from(data)
            if size + PREFIX.size == len(data) and size <= self._most:
                self._take(data)
                return
        if self._over:
            passed = min(self._over, len(data))
            self._over -= passed
            data = data[passed:]
        self._held += data
        self._split()

    def _split(self) -> None:
        while len(self._held) >= PREFIX.size:
            _, size = PREFIX.unpack_from(self._held)
            end = PREFIX.size + size
            if size > self._most:
                self._over = max(0, end - len(self._held))
                del self._held[:end]
                self._too_large(size)
            elif len(self._held) < end:
                return
            else:
                message = bytes(memoryview(self._held)[:end])
                del self._held[:end]
                self._take(message)
