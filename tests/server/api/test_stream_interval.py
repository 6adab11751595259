"""Streams that send less often than a token at a time: fewer responses and the same text, over HTTP and gRPC."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from trimode.api.answer import Provisional
from trimode_client import AsyncClient, Piece

from tests.server.refusals import refused_over_grpc
from tests.server.sdk import Protocol, client, protocols, run, url
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


# Passes that travel together

WATCHED: dict[str, Any] = {
    **{"mode": "diffusion", "denoise_steps": 4, "reveal": "steps", "max_tokens": TOKENS, "end_id": -1, "seed": 3},
    "stream_provisional": True,
}


def told(pieces: list[Piece]) -> tuple[str, list[int], list[Provisional]]:
    blocks = [replace(block, committed="") for piece in pieces for block in piece.passes]
    return "".join(piece.text for piece in pieces), [token for piece in pieces for token in piece.token_ids], blocks


@protocols
def test_passes_go_together_and_none_is_lost(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        each, few = (
            [*asking.stream(text_input="Once", **WATCHED, stream_interval_ms=milliseconds)]
            for milliseconds in (0, LONG)
        )
    assert told(each) == told(few)
    assert all(not piece.earlier for piece in each) and len(few) < len(each) / 4
    counters = few[-1].completion.counters if few[-1].completion else {}
    assert len(told(few)[2]) == counters["denoise_forwards"]


def test_the_async_client_has_the_same_passes(server: Server) -> None:
    async def asked(milliseconds: int) -> list[Piece]:
        async with (
            AsyncClient(url(server, "http"), "http", timeout=60.0) as asking,
            asking.stream(text_input="Once", **WATCHED, stream_interval_ms=milliseconds) as stream,
        ):
            return [piece async for piece in stream]

    each, few = asyncio.run(asked(0)), asyncio.run(asked(LONG))
    assert told(each) == told(few) and len(few) < len(each)


def test_an_event_has_one_block_as_itself_and_several_as_a_list(server: Server) -> None:
    asked = {"text_input": "Once", **WATCHED, "stream": True}
    each = list(events(server.http_port, asked))
    few = list(events(server.http_port, {**asked, "stream_interval_ms": LONG}))
    single = [json.loads(one["provisional"]) for one in each if "provisional" in one]
    together = [json.loads(text) for one in few for text in one.get("provisional", [])]
    assert len(few) < len(each) and len(single) == len(together)
    assert [block["tokens"] for block in single] == [block["tokens"] for block in together]
    assert "".join(block["committed"] for block in together) == "".join(one["text_output"] for one in few)


@pytest.mark.parametrize("face", ["chat/completions", "completions"])
def test_openais_faces_have_the_last_block_and_those_before_it(server: Server, face: str) -> None:
    said = {"prompt": "Once"} if face == "completions" else {"messages": [{"role": "user", "content": "Once"}]}
    given = {name: value for name, value in WATCHED.items() if name != "end_id"} | {"ignore_eos": True, "stream": True}

    def chunks(**more: Any) -> list[dict[str, Any]]:
        body = json.dumps({**said, **given, **more}).encode()
        status, sent = send(server.http_port, "POST", f"/v1/{face}", body)
        assert status == 200, sent
        lines = [line[6:] for line in sent.split(b"\n") if line.startswith(b"data: {")]
        return [choice["trimode"] for line in lines for choice in json.loads(line)["choices"] if "trimode" in choice]

    each, few = chunks(), chunks(stream_interval_ms=LONG)
    assert all(one.keys() == {"provisional"} for one in each) and len(few) < len(each)
    together = [block for one in few for block in (*one.get("earlier", ()), one["provisional"])]
    assert [one["provisional"]["tokens"] for one in each] == [block["tokens"] for block in together]


def test_tokens_are_not_counted_beside_passes(server: Server) -> None:
    asked = {"text_input": "a", **WATCHED, "stream": True, "stream_interval": 5}
    assert "stream_interval does not go together" in refused_over_grpc(server, asked, "not_applicable")


@pytest.mark.parametrize("more", [{}, {"stream": True, "stream_interval": 0}], ids=str)
def test_an_interval_without_a_meaning_is_refused(server: Server, more: dict[str, Any]) -> None:
    error = refused_over_grpc(server, {"text_input": "a", "stream_interval": 5, **more}, "not_applicable")
    assert "stream_interval" in error
