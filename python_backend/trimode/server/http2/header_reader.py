"""HeaderReader: header fields out of the frames of one connection, which may come in several (RFC 9113, 4.3).

The other side's table of fields that it repeats (HPACK, RFC 7541) is the library hpack's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError

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
"""Of a call's header fields, counted as HTTP/2 does (6.5.2); gRPC's libraries take no more of each other either."""
MOST_BLOCK_BYTES = 65536
"""Of a block of header fields, compressed or not, that is read at all. What is above MOST_HEADER_BYTES must be read
too where the connection is to go on, since later blocks build on it: a proxy's has the calls of many callers."""
FIELD_BYTES = 32
"""What each field counts beside its name and value (6.5.2)."""
Fields = list[tuple[str, str]]


@dataclass(frozen=True)
class Block:
    """Header fields, whole.

    Attributes:
        number: their stream's.
        last: nothing follows them on it.
        size: their bytes, counted as HTTP/2 does (6.5.2).
        unreadable: the name of the first field that is not UTF-8, which has U+FFFD where it is not; empty if all are.
    """

    number: int
    fields: Fields
    last: bool
    size: int = 0
    unreadable: str = ""


class HeaderReader:
    """Reads HEADERS and the CONTINUATION frames behind them. Every block must be read, since later ones build on it."""

    def __init__(self) -> None:
        self.within = False
        """Whether a block has begun and not ended; nothing else may come then."""
        self._decoder = Decoder(MOST_BLOCK_BYTES)
        self._number = self._flags = 0
        self._held = bytearray()

    def read(self, kind: int, flags: int, number: int, payload: bytes) -> Block | None:
        """Take a frame; return the block that it completes.

        Raises:
            ConnectionFault: it has no place here, or the fields are too large or not in HPACK's form.
        """
        if kind == HEADERS and not self.within:
            self._number, self._flags, self._held = number, flags, bytearray(without_padding(flags, payload))
        elif kind == CONTINUATION and self.within and number == self._number and (payload or flags & END_HEADERS):
            self._held += payload
        else:
            raise ConnectionFault(PROTOCOL_ERROR, "header fields must go on until their end")
        if len(self._held) > MOST_BLOCK_BYTES:
            raise _too_many()
        self.within = not flags & END_HEADERS
        if self.within:
            return None
        try:
            found = self._decoder.decode(bytes(self._held), raw=True)
        except OversizedHeaderListError as exc:
            raise _too_many() from exc
        except (HPACKError, ValueError) as exc:
            raise ConnectionFault(COMPRESSION_ERROR, f"header fields cannot be read: {type(exc).__name__}") from exc
        self._held = bytearray()
        return _block(number, found, last=bool(self._flags & END_STREAM))


def _block(number: int, found: Iterable[tuple[bytes, bytes]], *, last: bool) -> Block:
    fields, size, unreadable = [], 0, ""
    for name, value in found:
        size += len(name) + len(value) + FIELD_BYTES
        try:
            fields.append((name.decode(), value.decode()))
        except UnicodeDecodeError:
            fields.append((name.decode(errors="replace"), value.decode(errors="replace")))
            unreadable = unreadable or fields[-1][0]
    return Block(number, fields, last, size, unreadable)


def _too_many() -> ConnectionFault:
    return ConnectionFault(ENHANCE_YOUR_CALM, f"header fields may have {MOST_BLOCK_BYTES} bytes")
