"""Streams that send less often than a token at a time: fewer responses and the same text, over HTTP and gRPC."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.server.refusals import refused_over_grpc
from tests.server.sdk import Protocol, client, protocols, run
from tests.server.server import Server
from tests.server.wire import events, send

TOKENS = 40
ASKED: dict[str, Any] = {"mode": "autoregressive", "max_tokens": TOKENS, "end_id": -1}
LONG = 10**9  # milliseconds: no answer takes so long


@protocols
def test_a_stream_sends_when_so_many_tokens_wait(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        whole = asking.generate(text_input="Once", **ASKED)
        for interval in (1, 8, TOKENS):
            with asking.stream(text_input="Once", **ASKED, stream_interval=interval) as stream:
                pieces = [piece for piece in stream if piece.token_ids]
            assert "".join(piece.text for piece in pieces) == whole.text
            assert [token for piece in pieces for token in piece.token_ids] == list(whole.token_ids)
            # the first token, each whole interval after it, and the rest
            counts = [len(piece.token_ids) for piece in pieces]
            rest = (TOKENS - 1) % interval
            assert counts == [1, *[interval] * ((TOKENS - 1) // interval), *([rest] if rest else [])]
            assert stream.completion is not None and stream.completion.params["stream_interval"] == interval


@protocols
def test_milliseconds_alone_decide_where_no_interval_is_given(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        whole = asking.generate(text_input="Once", **ASKED)
        for milliseconds, most in ((1, TOKENS), (LONG, 2)):
            with asking.stream(text_input="Once", **ASKED, stream_interval_ms=milliseconds) as stream:
                pieces = [piece for piece in stream if piece.token_ids]
            assert "".join(piece.text for piece in pieces) == whole.text
            assert 2 <= len(pieces) <= most


def test_events_without_the_sdk(server: Server) -> None:
    asked = {"text_input": "Once", **ASKED, "stream": True}
    each = list(events(server.http_port, asked))
    few = list(events(server.http_port, {**asked, "stream_interval": 20}))
    assert len(few) <= 3 < len(each)
    assert "".join(one["text_output"] for one in few) == "".join(one["text_output"] for one in each)


def chunks_of(server: Server, **fields: Any) -> list[str]:
    """The texts of a streamed completion's chunks."""
    asked = {"prompt": "Once", "stream": True, "ignore_eos": True, "max_tokens": TOKENS, "mode": "autoregressive"}
    status, sent = send(server.http_port, "POST", "/v1/completions", json.dumps({**asked, **fields}).encode())
    assert status == 200
    lines = [line[6:] for line in sent.split(b"\n") if line.startswith(b"data: {")]
    return [choice["text"] for line in lines for choice in json.loads(line)["choices"]]


def test_openais_face_passes_it_on(server: Server) -> None:
    each, few = chunks_of(server), chunks_of(server, stream_interval=20)
    assert "".join(each) == "".join(few)
    assert len(few) < len(each) / 4


def test_it_is_a_flag_of_streams(server: Server) -> None:
    given = ("Once", "--raw", "--mode", "autoregressive", "--max-tokens", "12", "--stream", "--json")
    shown = [run(server, "generate", *given, *more).stdout for more in ((), ("--stream-interval", "100"))]
    each, few = ([json.loads(line) for line in one.splitlines()] for one in shown)
    assert "".join(one["text"] for one in each) == "".join(one["text"] for one in few)
    assert len(few) < len(each)


@pytest.mark.parametrize("more", [{}, {"stream": True, "stream_interval": 0}], ids=str)
def test_an_interval_without_a_meaning_is_refused(server: Server, more: dict[str, Any]) -> None:
    error = refused_over_grpc(server, {"text_input": "a", "stream_interval": 5, **more}, "not_applicable")
    assert "stream_interval" in error
