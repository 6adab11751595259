"""The frames of HTTP/2: their kinds, flags and error codes, how they are built, and a block of header fields.

Knows no connection. Section numbers are RFC 9113's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client's connection begins with (3.4)."""
HEAD_BYTES = 9
HEAD = struct.Struct(">BHBBL")
"""A frame's head (4.1): the size in 24 bits, as 8 and 16; kind, flags, and the stream's number."""
MAX_FRAME = 16384
"""Bytes of a frame's payload that every side takes, and this one at most (4.2)."""
FIRST_WINDOW = 65535
"""Bytes that may be sent on a stream or connection before its other side says otherwise (6.9.2)."""
LARGEST_WINDOW = 2**31 - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(2, 7)
"""Settings (6.5.2) that are set or read here; 1 is the size of the table for compressing what we send, which we do
not use."""

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = range(4)
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = range(5, 10)
ENHANCE_YOUR_CALM = 11
"""Error codes (7)."""


class ConnectionFault(Exception):
    """What the other side did ends the connection."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def frame(kind: int, flags: int, number: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    size = len(payload)
    return HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, number) + payload


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """Return the frame that sets these."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", name, value) for name, value in values))


def settings_in(number: int, payload: bytes) -> list[tuple[int, int]]:
    """Return the settings of a frame: names and values.

    Raises:
        ConnectionFault: a value is none that its setting can have, or the frame is of a stream or cut.
    """
    if number or len(payload) % 6:
        raise ConnectionFault(FRAME_SIZE_ERROR, "settings have 6 bytes each, and no stream")
    found = list(struct.iter_unpack(">HL", payload))
    for name, value in found:
        if name == INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, f"a window cannot have {value} bytes")
        if name == MAX_FRAME_SIZE and not MAX_FRAME <= value < 2**24:
            raise ConnectionFault(PROTOCOL_ERROR, f"the largest frame cannot have {value} bytes")
    return found


def number_frame(kind: int, number: int, value: int) -> bytes:
    """Return a frame whose payload is one number: RST_STREAM's code, or WINDOW_UPDATE's bytes."""
    return frame(kind, 0, number, value.to_bytes(4, "big"))


def goaway(last: int, code: int, text: str) -> bytes:
    """Return the frame that ends a connection; streams up to `last` were or are being answered (6.8)."""
    numbers = struct.pack(">LL", max(last, 0), code)
    return frame(GOAWAY, 0, 0, numbers + text.encode("utf-8", "replace"))


def header_block(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return header fields as literals that the other side need not remember (RFC 7541, 6.2.2)."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def _text(value: str) -> bytes:
    data = value.encode("latin-1", "replace")
    return _integer(len(data)) + data


def _integer(value: int) -> bytes:
    """Return a number in HPACK's form with a prefix of 7 bits (RFC 7541, 5.1)."""
    if value < 127:
        return bytes((value,))
    made, rest = bytearray((127,)), value - 127
    while rest >= 128:
        made.append(rest % 128 + 128)
        rest //= 128
    made.append(rest)
    return bytes(made)


def without_padding(flags: int, payload: bytes) -> bytes:
    """Return the payload of DATA or HEADERS without padding and priority (6.1, 6.2).

    Raises:
        ConnectionFault: there is more padding than payload.
    """
    begin, end = 0, len(payload)
    if flags & PADDED:
        begin, end = 1, end - (payload[0] if payload else 1)
    if flags & WITH_PRIORITY:
        begin += 5
    if begin > end:
        raise ConnectionFault(PROTOCOL_ERROR, "a frame has more padding than payload")
    return payload[begin:end]
