"""Frames by hand."""

from __future__ import annotations

import struct

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st
from trimode.server.http2 import frames
from trimode.server.http2.frames import ConnectionFault, header_block, settings, settings_in, without_padding


def test_a_frame_has_nine_bytes_in_front() -> None:
    made = frames.frame(frames.DATA, frames.END_STREAM, 7, b"ab")
    assert made == b"\x00\x00\x02\x00\x01\x00\x00\x00\x07ab"
    assert len(made) == frames.HEAD_BYTES + 2


@given(st.lists(st.tuples(st.text("abc-", min_size=1), st.text("xyz ", max_size=400)), max_size=4))
def test_header_fields_are_read_as_they_were_written(fields: list[tuple[str, str]]) -> None:
    found = [(str(name), str(value)) for name, value in Decoder(10**6).decode(header_block(fields))]
    assert found == fields


def test_padding_and_priority_are_taken_off() -> None:
    flags = frames.PADDED | frames.WITH_PRIORITY
    assert without_padding(flags, b"\x02" + bytes(5) + b"block" + bytes(2)) == b"block"
    assert without_padding(frames.PADDED, b"\x00a") == b"a"
    assert without_padding(0, b"a") == b"a"


@pytest.mark.parametrize("payload", [b"", b"\x03ab"])
def test_more_padding_than_payload_is_a_fault(payload: bytes) -> None:
    with pytest.raises(ConnectionFault, match="more padding than payload"):
        without_padding(frames.PADDED, payload)


def test_settings_are_read_as_they_were_written() -> None:
    values = [(frames.INITIAL_WINDOW_SIZE, 5), (frames.MAX_FRAME_SIZE, 16384), (99, 1)]
    assert settings_in(0, settings(values)[frames.HEAD_BYTES :]) == values


@pytest.mark.parametrize(
    ("number", "payload", "code"),
    [
        (0, bytes(5), frames.FRAME_SIZE_ERROR),
        (1, b"", frames.FRAME_SIZE_ERROR),
        (0, struct.pack(">HL", frames.INITIAL_WINDOW_SIZE, 2**31), frames.FLOW_CONTROL_ERROR),
        (0, struct.pack(">HL", frames.MAX_FRAME_SIZE, 16383), frames.PROTOCOL_ERROR),
        (0, struct.pack(">HL", frames.MAX_FRAME_SIZE, 2**24), frames.PROTOCOL_ERROR),
    ],
)
def test_settings_that_cannot_be_are_a_fault(number: int, payload: bytes, code: int) -> None:
    with pytest.raises(ConnectionFault) as caught:
        settings_in(number, payload)
    assert caught.value.code == code
