"""The knob from cheap to careful, revised blocks, and the block beside the stream, through the real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode_client import Piece, TrimodeClientError

from tests.server.refusals import refused, refused_over_grpc
from tests.server.sdk import Protocol, client, protocols, run
from tests.server.server import Server
from tests.server.wire import events

NANO = Path(__file__).parents[3] / "checkpoints" / "nano"
LEVELS = json.loads((NANO / "effort.json").read_text(encoding="utf-8"))["levels"]
ASKED = [
    "What is 23 + 2221?",
    "Work out 941 - 70.",
    "Write an e-mail from Felix to thank Nina for the feather. Meet on Sunday.",
    "Which date is 10 days after 1 September 2008?",
]
SLOW: dict[str, Any] = {"threshold": 1.0, "denoise_steps": 4}
KNOBS = ("block_length", "denoise_steps", "threshold")


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


# -- effort ------------------------------------------------------------------------------------------------------------


@protocols
def test_effort_means_the_tables_levels_and_costs_more_the_higher_it_is(server: Server, protocol: Protocol) -> None:
    costs = []
    with client(server, protocol) as asking:
        for effort, level in ((0.0, LEVELS[0]), (0.5, LEVELS[len(LEVELS) // 2]), (1.0, LEVELS[-1])):
            answers = [asking.generate(messages=chat(text), effort=effort, max_tokens=160) for text in ASKED]
            params = answers[0].params
            assert (params["mode"], params["effort"]) == ("diffusion", effort)
            assert {name: params[name] for name in KNOBS} == {name: level[name] for name in KNOBS}
            costs.append(sum(answer.counters["forwards"] for answer in answers))
    assert costs == sorted(costs) and costs[0] < costs[-1]


@protocols
def test_an_explicit_knob_wins_over_effort(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        params = asking.generate("a", effort=1.0, denoise_steps=2, revise_rounds=1, max_tokens=3).params
        assert (params["denoise_steps"], params["threshold"]) == (2, LEVELS[-1]["threshold"])
        assert (params["revise_rounds"], params["effort"]) == (1, 1.0)
        gap = asking.infill("a", "b", effort=0.0, infill_tokens=3).params
        assert (gap["denoise_steps"], gap["block_length"]) == (1, 32)


@pytest.mark.parametrize(
    ("value", "says"), [(1.5, "between 0.0 and 1.0"), (-1, "between 0.0 and 1.0"), ("a", "must be a number")]
)
def test_what_is_no_effort_is_refused(server: Server, value: object, says: str) -> None:
    error = refused(server, {"text_input": "a", "effort": value}, "wrong_type" if value == "a" else "invalid_value")
    assert error.startswith("effort") and says in error


def test_an_effort_that_is_no_number_is_refused_over_grpc(server: Server) -> None:
    message = refused_over_grpc(server, {"text_input": "a", "effort": float("nan")}, "invalid_value")
    assert message.startswith("effort must be finite")


def test_effort_is_a_flag(server: Server) -> None:
    shown = run(server, "generate", "What is 23 + 2221?", "--effort", "0.25", "--json")
    assert json.loads(shown.stdout)["params"]["denoise_steps"] == LEVELS[2]["denoise_steps"]


# -- blocks that are revised -------------------------------------------------------------------------------------------


@protocols
def test_a_revised_block_repairs_what_one_step_broke(server: Server, protocol: Protocol) -> None:
    cheap: dict[str, Any] = {"mode": "diffusion", "denoise_steps": 1, "max_tokens": 160}
    right = 0
    with client(server, protocol) as asking:
        for text in ASKED:
            exact = asking.generate(messages=chat(text), mode="autoregressive", max_tokens=160).text
            plain = asking.generate(messages=chat(text), **cheap)
            revised = asking.generate(messages=chat(text), **cheap, revise_rounds=2)
            assert revised.counters["score_forwards"] > 0 == plain.counters["score_forwards"]
            right += (revised.text == exact) - (plain.text == exact)
    assert right >= 0, "no answer got worse"


@protocols
def test_a_knob_of_revising_needs_rounds(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking, pytest.raises(TrimodeClientError, match="needs revise_rounds above 0"):
        asking.generate("a", mode="diffusion", accept="always")


# -- the block beside the stream ---------------------------------------------------------------------------------------


def watched(server: Server, protocol: Protocol, **knobs: Any) -> list[Piece]:
    with client(server, protocol) as asking, asking.stream(messages=chat(ASKED[2]), max_tokens=160, **knobs) as stream:
        return list(stream)


@protocols
@pytest.mark.parametrize("mode", ["diffusion", "self_speculation"])
def test_the_stream_beside_the_blocks_is_the_same(server: Server, protocol: Protocol, mode: str) -> None:
    plain = watched(server, protocol, mode=mode, **SLOW)
    pieces = watched(server, protocol, mode=mode, **SLOW, stream_provisional=True)
    assert "".join(piece.text for piece in pieces) == "".join(piece.text for piece in plain)
    assert all(piece.provisional is None for piece in plain)
    told = [block for piece in pieces for block in piece.passes]
    last = pieces[-1].completion
    assert last is not None and "provisional" not in last.counters
    counters = last.counters
    assert len(told) == counters["denoise_forwards"] + counters["draft_forwards"]
    states = {token.state for block in told for token in block.tokens}
    assert {"committed", "provisional"} <= states
    for block in told:
        assert block.text == "".join(token.text for token in block.tokens)
        assert all((token.id is None) == (token.state == "masked") for token in block.tokens)


def test_masks_become_fewer_within_a_block(server: Server) -> None:
    slow: dict[str, Any] = {"mode": "diffusion", "threshold": 1.0, "denoise_steps": 8, "reveal": "threshold"}
    seen: dict[int, list[int]] = {}
    for piece in watched(server, "grpc", **slow, stream_provisional=True):
        if (block := piece.provisional) is not None:
            seen.setdefault(block.start, []).append(sum(token.state == "masked" for token in block.tokens))
    assert max(len(counts) for counts in seen.values()) == 8
    assert all(counts == sorted(counts, reverse=True) for counts in seen.values())


def test_an_event_with_a_block_alone_has_an_empty_text(server: Server) -> None:
    asked = {"messages": chat(ASKED[0]), "mode": "diffusion", "stream": True, "stream_provisional": True}
    told = list(events(server.http_port, {**asked, "return_token_ids": True, "threshold": 1.0, "denoise_steps": 4}))
    alone = [event for event in told if "output_ids" not in event]
    assert alone and all(event["text_output"] == "" and "provisional" in event for event in alone)


@pytest.mark.parametrize(
    "more", [{}, {"stream": True, "mode": "autoregressive"}, {"stream": True, "suffix": "b"}], ids=str
)
def test_blocks_are_refused_where_there_are_none(server: Server, more: dict[str, Any]) -> None:
    asked = {"text_input": "a", "mode": "diffusion", "stream_provisional": True, **more}
    error = refused_over_grpc(server, asked, "not_applicable")
    assert "stream_provisional" in error


def test_watch_shows_every_pass_then_the_text(server: Server) -> None:
    shown = run(server, "watch", ASKED[0], "--threshold", "1", "--steps", "4")
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("    0   1  [") and "░" in lines[0]
    assert lines[-1] == "Answer: 2244" and "tokens per forward" in shown.stderr
