"""Bodies: how many bytes all bodies that are being read hold together, and who makes room when that is too much.

A message that arrives over gRPC is a body too.

Knows whose a body is and how much of it came; nothing of connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ...errors import Refusal

MOST_BYTES = 256 * 2**20
"""32 of the largest bodies that are allowed by default; a thousand connections could send 8 GiB of them at once."""


class Body:
    """One body that is being read.

    Attributes:
        caller: whose it is.
        size: bytes that count for it so far.
        make_room: lets go of it, and refuses it; None while it does not arrive, and so stays.
        ended: it has made room, and is refused.
    """

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.size = 0
        self.make_room: Callable[[], None] | None = None
        self.ended = False


class Bodies:
    """The bodies that one server reads at a time, of `most_bytes` together."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._sizes: Counter[str] = Counter()  # bytes by caller; none is 0
        self._total = 0
        self._read: set[Body] = set()

    def begin(self, caller: str) -> Body:
        """Take a body of `caller`, empty so far."""
        self._read.add(made := Body(caller))
        return made

    def grow(self, body: Body, size: int) -> None:
        """Count `size` more bytes for `body`.

        Where that is too much in all, the caller whose bodies hold the most ends the largest that still arrives. It
        must hold more than this one would.

        Raises:
            Refusal: nobody made room, or this body did so for another.
        """
        if body.ended:
            raise self.refusal()
        while self._total + size > self.most_bytes:
            if (largest := self._largest(self._sizes[body.caller] + size)) is None:
                raise self._full()
            largest.ended = True
            self.end(largest)
            assert largest.make_room is not None
            largest.make_room()
        body.size += size
        self._count(body.caller, size)

    def shrink(self, body: Body, size: int) -> None:
        """Count `size` bytes fewer for `body`, which has as many."""
        if body in self._read:
            body.size -= size
            self._count(body.caller, -size)

    def end(self, body: Body) -> None:
        """Forget a body; a second call does nothing."""
        if body in self._read:
            self._read.discard(body)
            self._count(body.caller, -body.size)

    def _count(self, caller: str, size: int) -> None:
        self._total += size
        self._sizes[caller] += size
        if not self._sizes[caller]:
            del self._sizes[caller]

    @staticmethod
    def refusal() -> Refusal:
        """Return the error of a body that made room."""
        return Refusal("overloaded", "the body made room for another caller's: too much was being read at once")

    def _full(self) -> Refusal:
        return Refusal("overloaded", f"the bodies that are being read may hold {self.most_bytes} bytes together")

    def _largest(self, size: int) -> Body | None:
        """Return the largest body that still arrives, of the caller with the most; None unless it has above `size`."""
        caller, most = self._sizes.most_common(1)[0] if self._sizes else ("", 0)
        if most <= size:
            return None
        arriving = [body for body in self._read if body.caller == caller and body.make_room is not None]
        return max(arriving, key=lambda body: body.size, default=None)
