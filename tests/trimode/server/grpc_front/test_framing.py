"""Messages out of bytes that come in any parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from trimode.server.grpc_front.framing import MessageReader, framed

MOST = 8


@given(st.lists(st.binary(max_size=2 * MOST)), st.data())
def test_messages_come_whole_whatever_parts_they_come_in(messages: list[bytes], data: st.DataObject) -> None:
    found: list[bytes | int] = []
    reader = MessageReader(MOST, found.append, found.append)
    rest = b"".join(map(framed, messages))
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        reader.feed(rest[:size])
        rest = rest[size:]
    assert found == [framed(message) if len(message) <= MOST else len(message) for message in messages]
    assert not reader.within


def test_a_part_of_a_message_is_known() -> None:
    reader = MessageReader(MOST, lambda message: None, lambda size: None)
    reader.feed(framed(b"abc")[:-1])
    assert reader.within
    reader.feed(b"c")
    assert not reader.within


def test_of_a_large_message_nothing_is_kept() -> None:
    reader = MessageReader(MOST, lambda message: None, lambda size: None)
    reader.feed(framed(bytes(10**6))[:-1])
    assert reader.within
    assert not reader._held


def test_messages_that_may_not_come_wait() -> None:
    found: list[bytes] = []
    most = 1
    reader = MessageReader(MOST, found.append, lambda size: None, lambda: len(found) < most)
    reader.feed(framed(b"a") + framed(b"b") + framed(b"c")[:-1])
    assert (found, reader.stopped) == ([framed(b"a")], True)
    most = 9
    reader.go_on()
    assert (found, reader.stopped) == ([framed(b"a"), framed(b"b")], False)
    assert reader.within
