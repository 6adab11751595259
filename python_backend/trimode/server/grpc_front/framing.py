"""MessageReader: gRPC's messages out of a stream of bytes. Each has five bytes in front: if it is compressed, its size.

Knows nothing of what a message holds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ...errors import Described, Refusal, RequestError

PREFIX = struct.Struct(">BL")


def framed(message: bytes) -> bytes:
    """Return a message as it is sent."""
    return PREFIX.pack(0, len(message)) + message


def too_large(size: int, most_bytes: int) -> Refusal:
    """Return the error of a message of `size` bytes, which was not read."""
    return Refusal("too_large", f"a message must be at most {most_bytes} bytes, got {size}")


def not_whole(kind: str) -> RequestError:
    """Return the error of a message that is not as its prefix says: whole, or in a coding."""
    return RequestError("the message", f"must be {kind}", Described("something else"), error_type="wrong_type")


class MessageReader:
    """Hands each whole message on, with its prefix; one that is too large is passed over, and handed on as its size.

    Attributes:
        count: messages whose end, or whose size where that is too large, was read.
        stopped: whether it holds messages that were not handed on, since `ready` said that no more may come.
    """

    def __init__(
        self,
        most_bytes: int,
        take: Callable[[bytes], None],
        too_large: Callable[[int], None],
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._most = most_bytes
        self._take = take
        self._too_large = too_large
        self._ready = ready
        self._held = bytearray()
        self._over = 0  # bytes to pass over
        self.count = 0
        self.stopped = False

    @property
    def held(self) -> int:
        """How many bytes of a message it holds."""
        return len(self._held)

    @property
    def within(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._held or self._over)

    def pass_over(self) -> bool:
        """Keep nothing of the message that arrives, and of its rest; return False where its size is not known yet."""
        if len(self._held) < PREFIX.size:
            return False
        self._over = PREFIX.size + PREFIX.unpack_from(self._held)[1] - len(self._held)
        self._held.clear()
        return True

    def close(self) -> None:
        """Keep nothing, nobody who hears of messages included."""
        self._held.clear()
        self.stopped = False
        self._take = lambda message: None
        self._too_large = lambda size: None
        self._ready = lambda: False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if not (self._held or self._over) and len(data) >= PREFIX.size:  # most often they are one whole message
            _, size = PREFIX.unpack_from(data)
            if size + PREFIX.size == len(data) and size <= self._most:
                self.count += 1
                self._take(data)
                return
        if self._over:
            passed = min(self._over, len(data))
            self._over -= passed
            data = data[passed:]
        self._held += data
        self.go_on()

    def go_on(self) -> None:
        """Hand on the messages that it holds, until `ready` says that no more may come."""
        self.stopped = False
        while len(self._held) >= PREFIX.size:
            _, size = PREFIX.unpack_from(self._held)
            end = PREFIX.size + size
            if size <= self._most and len(self._held) < end:
                return
            if not self._ready():
                self.stopped = True
                return
            self.count += 1
            if size > self._most:
                self._over = max(0, end - len(self._held))
                del self._held[:end]
                self._too_large(size)
            else:
                message = bytes(memoryview(self._held)[:end])
                del self._held[:end]
                self._take(message)
