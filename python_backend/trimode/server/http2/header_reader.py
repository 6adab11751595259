"""HeaderReader: header fields out of the frames of one connection, which may come in several (RFC 9113, 4.3).

The other side's table of fields that it repeats (HPACK, RFC 7541) is the library hpack's.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpack import Decoder
from hpack.exceptions import HPACKError

from .frames import (
    COMPRESSION_ERROR,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    PROTOCOL_ERROR,
    ConnectionFault,
    without_padding,
)

MOST_HEADER_BYTES = 16384
"""Of a block of header fields, compressed or not; gRPC's libraries take no more of each other either."""
Fields = list[tuple[str, str]]


@dataclass(frozen=True)
class Block:
    """Header fields, whole.

    Attributes:
        number: their stream's.
        last: nothing follows them on it.
    """

    number: int
    fields: Fields
    last: bool


class HeaderReader:
    """Reads HEADERS and the CONTINUATION frames behind them. Every block must be read, since later ones build on it."""

    def __init__(self) -> None:
        self.within = False
        """Whether a block has begun and not ended; nothing else may come then."""
        self._decoder = Decoder(MOST_HEADER_BYTES)
        self._number = self._flags = 0
        self._held = b""

    def read(self, kind: int, flags: int, number: int, payload: bytes) -> Block | None:
        """Take a frame; return the block that it completes.

        Raises:
            ConnectionFault: it has no place here, or the fields are too large or not in HPACK's form.
        """
        if kind == HEADERS and not self.within:
            self._number, self._flags, self._held = number, flags, without_padding(flags, payload)
        elif kind == CONTINUATION and self.within and number == self._number and (payload or flags & END_HEADERS):
            self._held += payload
        else:
            raise ConnectionFault(PROTOCOL_ERROR, "header fields must go on until their end")
        if len(self._held) > MOST_HEADER_BYTES:
            raise ConnectionFault(ENHANCE_YOUR_CALM, f"header fields may have {MOST_HEADER_BYTES} bytes")
        self.within = not flags & END_HEADERS
        if self.within:
            return None
        try:
            fields = [(str(name), str(value)) for name, value in self._decoder.decode(self._held)]
        except (HPACKError, UnicodeDecodeError, ValueError) as exc:
            raise ConnectionFault(COMPRESSION_ERROR, f"header fields cannot be read: {type(exc).__name__}") from exc
        self._held = b""
        return Block(number, fields, bool(self._flags & END_STREAM))
