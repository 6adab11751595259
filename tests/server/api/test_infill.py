"""Filling gaps through the real server, over both protocols."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.server.edits import LEFT, RIGHT, TEXT, infill
from tests.server.sdk import PROMPT, Protocol, client, protocols
from tests.server.server import Server
from tests.server.wire import events

SIDES = {
    "bytes": ('def grüß(x):\n\treturn "日本', '語🙂"\r\n\n# ende\u2028'),
    "indentation": ("class A:\n    def f(self):\n        ", "\n\n        return x\n"),
    "empty left": ("", "é is the end."),
    "empty right": ("Once upon a 🙂 ", ""),
    "both empty": ("", ""),
}
sides = pytest.mark.parametrize(("left", "right"), SIDES.values(), ids=SIDES)


@protocols
@sides
def test_the_whole_text_has_both_sides_as_given(server: Server, protocol: Protocol, left: str, right: str) -> None:
    whole = infill(server, protocol, left, right, infill_tokens=6, exclude_input_in_output=False)
    assert whole.text.encode() == left.encode() + whole.fills[0].encode() + right.encode()


@protocols
@sides
def test_the_fill_alone_is_that_of_the_whole(server: Server, protocol: Protocol, left: str, right: str) -> None:
    alone = infill(server, protocol, left, right, infill_tokens=6)
    whole = infill(server, protocol, left, right, infill_tokens=6, exclude_input_in_output=False)
    assert (alone.text,) == alone.fills == whole.fills


@protocols
@pytest.mark.parametrize("size", [1, 31, 32, 33, 70])
def test_a_gap_has_the_size_that_was_asked(server: Server, protocol: Protocol, size: int) -> None:
    completion = infill(server, protocol, LEFT + "\n", RIGHT, infill_tokens=size, return_log_probs=True)
    assert len(completion.token_ids) == len(completion.log_probs) == size
    within = infill(server, protocol, LEFT, RIGHT, infill_tokens=size, return_log_probs=True)
    assert len(within.token_ids) == len(within.log_probs) in (size, size + 1), "the last token of the left side is anew"
    assert completion.finish_reason == "stop"


@sides
def test_both_protocols_fill_the_same(server: Server, left: str, right: str) -> None:
    over_grpc, over_http = (infill(server, wire, left, right, return_candidates=True) for wire in ("grpc", "http"))
    assert (over_grpc.fills, over_grpc.token_ids) == (over_http.fills, over_http.token_ids)
    assert over_grpc.candidates == over_http.candidates


@protocols
def test_the_sizes_tried_come_with_their_texts(server: Server, protocol: Protocol) -> None:
    completion = infill(server, protocol, LEFT + "\n", RIGHT, infill_lengths=[2, 5, 3], return_candidates=True)
    ((*tried,),) = completion.candidates
    assert sorted(one.size for one in tried) == [2, 3, 5]
    best = max(tried, key=lambda one: one.score or 0.0)
    assert completion.text == best.text


@protocols
def test_every_gap_of_several_is_filled(server: Server, protocol: Protocol) -> None:
    segments: list[str | dict[str, int]] = [
        "é ",
        {"infill_tokens": 3},
        " mittel\n",
        {"infill_tokens": 2},
        "",
        {"infill_tokens": 1},
        "🙂",
    ]
    with client(server, protocol) as asking:
        whole = asking.infill(segments=segments, exclude_input_in_output=False)
    one, two, three = whole.fills
    assert whole.text == f"é {one} mittel\n{two}{three}🙂"
    assert len(whole.token_ids) == 6


@protocols
def test_a_begun_reply_is_filled_and_the_question_left_out(server: Server, protocol: Protocol) -> None:
    asked = [{"role": "user", "content": "What is 24 + 17?"}, {"role": "assistant", "content": "é The"}]
    with client(server, protocol) as asking:
        whole = asking.infill(messages=asked, right=" 41.", infill_tokens=4, exclude_input_in_output=False)
    assert whole.text == f"é The{whole.fills[0]} 41."


@protocols
def test_several_gaps_answer_an_instruction_that_is_left_out(server: Server, protocol: Protocol) -> None:
    segments: list[str | dict[str, int]] = ["é The ", {"infill_tokens": 2}, " is ", {}, ".\r\n"]
    with client(server, protocol) as asking:
        whole = asking.infill(segments=segments, instruction="What is 24 + 17?", exclude_input_in_output=False)
    one, two = whole.fills
    assert whole.text == f"é The {one} is {two}.\r\n"


@protocols
def test_the_same_seed_fills_the_same(server: Server, protocol: Protocol) -> None:
    sampled = [infill(server, protocol, LEFT, RIGHT, infill_tokens=9, temperature=1.5, seed=seed) for seed in (7, 7, 8)]
    assert sampled[0].token_ids == sampled[1].token_ids != sampled[2].token_ids


def test_fills_and_revisions_are_the_same_beside_others(server: Server) -> None:
    def ask(number: int) -> object:
        wire: Protocol = "grpc" if number % 2 else "http"
        sampled: dict[str, Any] = {"temperature": 0.8, "seed": number}
        with client(server, wire) as asking:
            match number % 4:
                case 0:
                    return asking.infill(LEFT, RIGHT, infill_lengths=[3, 8], **sampled).token_ids
                case 1:
                    return asking.revise(TEXT, accept="always", **sampled).text
                case 2:
                    return asking.infill("é" * number, "", infill_tokens=40, **sampled).token_ids
                case _:
                    return asking.generate(PROMPT, max_tokens=30, end_id=-1, **sampled).token_ids

    alone = [ask(number) for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == alone


def test_a_stream_of_a_fill_is_one_event(server: Server) -> None:
    asked = {"text_input": LEFT, "suffix": RIGHT, "infill_tokens": 3, "return_finish_reason": True}
    (event,) = events(server.http_port, {**asked, "stream": True})
    assert (event["text_output"], event["finish_reason"]) == (event["fills"], "stop")
