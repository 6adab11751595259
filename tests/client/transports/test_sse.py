"""Server-sent events, cut at any byte."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from trimode_client.transports.sse import SseParser


def parse(pieces: list[bytes]) -> list[str]:
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + list(parser.end())


@given(
    st.lists(st.text(), min_size=1, max_size=4),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 400), max_size=12),
    st.booleans(),
)
@example(["\u0085\u2028\u2029"], "\n", [], False)
def test_events_cut_anywhere_come_out_whole(texts: list[str], end: str, cuts: list[int], ascii_only: bool) -> None:
    events = [json.dumps({"text_output": text}, ensure_ascii=ascii_only) for text in texts]
    raw = "".join(f"data: {event}{end}{end}" for event in events).encode()
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    assert parse([raw[a:b] for a, b in pairwise(places)]) == events


def test_a_character_cut_in_two_is_whole() -> None:
    raw = "data: é\n\n".encode()
    assert parse([raw[:7], raw[7:]]) == ["é"]


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data:a\n\n", ["a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b": comment\n\ndata: a\n\n", ["a"]),
        (b"event: x\nid: 1\ndata: a\n\n", ["a"]),
        (b"data: a", ["a"]),
        (b"\n\n\n", []),
        (b"data\n\n", [""]),
    ],
)
def test_the_format(raw: bytes, events: list[str]) -> None:
    assert parse([raw]) == events
