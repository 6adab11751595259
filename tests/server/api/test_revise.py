"""Revising a text through the real server, over both protocols."""

from __future__ import annotations

import pytest

from tests.server.edits import TEXT, revise
from tests.server.sdk import Protocol, protocols
from tests.server.server import Server


@protocols
@pytest.mark.parametrize("accept", ["likelihood", "always"])
def test_the_edits_are_what_was_changed(server: Server, protocol: Protocol, accept: str) -> None:
    completion = revise(server, protocol, TEXT, accept=accept, revise_threshold=-1.0)
    assert all(TEXT[edit.start : edit.end] == edit.before != edit.after for edit in completion.edits)
    made = TEXT
    for edit in reversed(completion.edits):
        made = made[: edit.start] + edit.after + made[edit.end :]
    assert completion.text.encode() == made.encode()


@protocols
def test_what_lies_outside_the_spans_stays(server: Server, protocol: Protocol) -> None:
    start = TEXT.index("quick")
    completion = revise(server, protocol, TEXT, spans=[[start, start + 5]], accept="always", temperature=2.0, seed=1)
    assert completion.edits
    assert completion.text.startswith("Ünïcode 🙂: the the")
    assert completion.text.endswith(" fox jumps over over the lazy dog, 語.\r\n")


def test_both_protocols_revise_the_same(server: Server) -> None:
    asked = {"accept": "always", "revise_fraction": 0.4, "instruction": "Wrïte."}
    over_grpc, over_http = (revise(server, wire, TEXT, **asked) for wire in ("grpc", "http"))
    assert (over_grpc.text, over_grpc.edits) == (over_http.text, over_http.edits)
    found_read = {"cached_tokens": 0}
    assert {**over_grpc.counters, **found_read} == pytest.approx({**over_http.counters, **found_read})


@protocols
def test_nothing_to_change_gives_the_text_back(server: Server, protocol: Protocol) -> None:
    completion = revise(server, protocol, TEXT, revise_threshold=-1000.0)
    assert (completion.text, completion.edits) == (TEXT, ())
