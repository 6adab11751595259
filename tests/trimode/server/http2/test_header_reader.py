"""Header fields in one frame and in several."""

from __future__ import annotations

import pytest
from trimode.server.http2.frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    HEADERS,
    PROTOCOL_ERROR,
    ConnectionFault,
    header_block,
)
from trimode.server.http2.header_reader import FIELD_BYTES, MOST_BLOCK_BYTES, Block, HeaderReader

FIELDS = [("a", "b" * 50), ("c", "d")]


def test_a_block_in_several_frames_is_one() -> None:
    reader, block = HeaderReader(), header_block(FIELDS)
    assert reader.read(HEADERS, END_STREAM, 3, block[:10]) is None
    assert reader.within
    assert reader.read(CONTINUATION, 0, 3, block[10:20]) is None
    assert reader.read(CONTINUATION, END_HEADERS, 3, block[20:]) == Block(
        3, FIELDS, last=True, size=2 * FIELD_BYTES + 53
    )
    assert not reader.within


@pytest.mark.parametrize(
    ("kind", "number", "payload"), [(HEADERS, 3, b"x"), (CONTINUATION, 5, b"x"), (CONTINUATION, 3, b"")]
)
def test_nothing_else_may_come_within_a_block(kind: int, number: int, payload: bytes) -> None:
    reader = HeaderReader()
    reader.read(HEADERS, 0, 3, b"\x00")
    with pytest.raises(ConnectionFault) as caught:
        reader.read(kind, 0, number, payload)
    assert caught.value.code == PROTOCOL_ERROR


def test_a_block_has_a_largest_size_whatever_it_comes_in() -> None:
    reader = HeaderReader()
    reader.read(HEADERS, 0, 1, bytes(MOST_BLOCK_BYTES))
    with pytest.raises(ConnectionFault) as caught:
        reader.read(CONTINUATION, 0, 1, b"x")
    assert caught.value.code == ENHANCE_YOUR_CALM


def test_few_bytes_that_stand_for_many_fields_are_a_fault() -> None:
    reader = HeaderReader()
    remembered = b"\x40" + header_block([("a", "b" * 3000)])[1:]  # RFC 7541, 6.2.1: a literal to remember
    assert reader.read(HEADERS, END_HEADERS, 1, remembered)
    with pytest.raises(ConnectionFault) as caught:
        reader.read(HEADERS, END_HEADERS, 3, b"\xbe" * 1000)  # 6.1: the remembered field, a byte each
    assert caught.value.code == ENHANCE_YOUR_CALM


def test_a_field_that_is_not_utf_8_is_named_and_later_blocks_are_read() -> None:
    reader = HeaderReader()
    remembered = b"\x40" + header_block([("a", "\xff")])[1:]
    for number, block in ((1, remembered + header_block(FIELDS)), (3, b"\xbe" + header_block(FIELDS))):
        found = reader.read(HEADERS, END_HEADERS, number, block)
        assert found
        assert (found.fields, found.unreadable) == ([("a", "\ufffd"), *FIELDS], "a")
