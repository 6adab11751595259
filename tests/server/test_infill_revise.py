"""Filling gaps and revising through the real server, over both protocols."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from trimode_client import Completion

from tests.server.refusals import refused, refused_over_grpc
from tests.server.sdk import PROMPT, Protocol, client, protocols, run
from tests.server.server import Server, wait_until
from tests.server.wire import PATH, GrpcStream, events

SIDES = {
    "bytes": ('def grüß(x):\n\treturn "日本', '語🙂"\r\n\n# ende\u2028'),
    "indentation": ("class A:\n    def f(self):\n        ", "\n\n        return x\n"),
    "empty left": ("", "é is the end."),
    "empty right": ("Once upon a 🙂 ", ""),
    "both empty": ("", ""),
}
LEFT, RIGHT = "Turn this into JSON: Anna is 24 and lives in ", ' and works as a sailor.\n{"name": "Anna"'
TEXT = "Ünïcode 🙂: the the quick brown fox jumps over over the lazy dog, 語.\r\n"
SLOW = {"denoise_steps": 32, "threshold": 1.0}  # nothing is kept before its step

sides = pytest.mark.parametrize(("left", "right"), SIDES.values(), ids=SIDES)


def infill(server: Server, protocol: Protocol, *sides: str, **knobs: Any) -> Completion:
    with client(server, protocol) as asking:
        return asking.infill(*sides, **knobs)


def revise(server: Server, protocol: Protocol, text: str, **knobs: Any) -> Completion:
    with client(server, protocol) as asking:
        return asking.revise(text, **knobs)


# -- infill ------------------------------------------------------------------------------------------------------------


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


# -- revise ------------------------------------------------------------------------------------------------------------


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


# -- a caller that leaves ----------------------------------------------------------------------------------------------

LONG: dict[str, dict[str, Any]] = {
    "gap": {"text_input": "a", "suffix": "b", "infill_tokens": 1024, **SLOW},
    "sizes": {"text_input": "a", "suffix": "b", "infill_lengths": [1000, 1020], **SLOW},
    "revision": {"text": "zqx " * 300, "accept": "always", "revise_threshold": 0.0, "revise_rounds": 16, **SLOW},
}
long = pytest.mark.parametrize("request_", LONG.values(), ids=LONG)


@pytest.fixture
def one_more_cancelled(server: Server) -> Iterator[None]:
    """After the test one more request was cancelled, and none runs."""
    server.settle()
    cancelled = server.metric("trimode_requests_total", outcome="cancelled")
    yield
    server.wait_metric("trimode_requests_total", cancelled + 1, outcome="cancelled")
    server.wait_metric("trimode_requests_running", 0)


def wait_running(server: Server) -> None:
    wait_until(lambda: server.metric("trimode_requests_running") > 0, lambda: "nothing runs")


@long
@pytest.mark.usefixtures("one_more_cancelled")
def test_leaving_cancels_over_grpc(server: Server, request_: dict[str, Any]) -> None:
    with GrpcStream(server.grpc_port) as stream:
        stream.send(request_)
        wait_running(server)


@long
@pytest.mark.usefixtures("one_more_cancelled")
def test_leaving_cancels_over_http(server: Server, request_: dict[str, Any]) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)) as connection:
        connection.request("POST", f"{PATH}/generate", json.dumps(request_))
        wait_running(server)


@long
def test_a_deadline_ends_it(server: Server, request_: dict[str, Any]) -> None:
    refused(server, {**request_, "timeout_ms": 50}, "deadline_exceeded", 504)


# -- what is refused ---------------------------------------------------------------------------------------------------

GAP = {"text_input": "a", "suffix": "b"}
REVISION = {"text": "abcdef"}
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "spans that overlap": ({**REVISION, "spans": "[[0,4],[2,6]]"}, "invalid_value", "spans must be in order"),
    "spans out of order": ({**REVISION, "spans": "[[4,5],[0,1]]"}, "invalid_value", "spans must be in order"),
    "an empty span": ({**REVISION, "spans": "[[3,3]]"}, "invalid_value", "spans must hold pairs"),
    "a span beyond the text": ({**REVISION, "spans": "[[0,1],[2,7]]"}, "invalid_value", "spans must lie inside"),
    "a span of no numbers": ({**REVISION, "spans": '[["a",1]]'}, "wrong_type", "spans must hold pairs"),
    "a span that is no JSON": ({**REVISION, "spans": "[[0,"}, "bad_json", "spans must be valid JSON"),
    "no text": ({"text": ""}, "invalid_value", "text must not be empty"),
    "text and prompt": ({**REVISION, "text_input": "a"}, "bad_prompt", "text_input, input_ids, messages"),
    "text and suffix": ({**REVISION, "suffix": "a"}, "not_applicable", "suffix"),
    "spans without a text": ({"text_input": "a", "spans": "[[0,1]]"}, "not_applicable", "spans needs text"),
    "two ways to pick": (
        {**REVISION, "revise_threshold": -1.0, "revise_fraction": 0.5},
        "not_applicable",
        "revise_threshold does not go together with revise_fraction",
    ),
    "a gap too long": ({**GAP, "infill_tokens": 1025}, "invalid_value", "infill_tokens must be between 1 and 1024"),
    "gaps too long together": (
        {"segments": json.dumps(["a", *[{"infill_tokens": 1000}] * 3])},
        "prompt_too_long",
        "segments must",
    ),
    "a text too long to revise": ({"text": "word " * 2100}, "prompt_too_long", "text must"),
    "a gap in mode autoregressive": ({**GAP, "mode": "autoregressive"}, "not_applicable", "mode must be diffusion"),
    "a gap in self-speculation": ({**GAP, "mode": "self_speculation"}, "not_applicable", "mode must be diffusion"),
    "a revision in mode autoregressive": ({**REVISION, "mode": "autoregressive"}, "not_applicable", "mode must be"),
    "a gap in token ids": ({"input_ids": [1], "suffix": "b"}, "not_applicable", "input_ids"),
    "a gap with stop words": ({**GAP, "stop_words": ["x"]}, "not_applicable", "stop_words does not apply"),
    "size and sizes": ({**GAP, "infill_tokens": 1, "infill_lengths": [1]}, "not_applicable", "infill_tokens does not"),
    "a size without a gap": ({"text_input": "a", "infill_tokens": 1}, "not_applicable", "infill_tokens needs"),
    "segments without a gap": ({"segments": '["a"]'}, "invalid_value", "segments must hold 1 to 16 gaps"),
    "too many gaps": ({"segments": json.dumps([{}] * 17)}, "invalid_value", "segments must hold 1 to 16 gaps"),
    "a segment of another kind": ({"segments": "[3]"}, "invalid_value", "segments must hold strings and objects"),
    "segments and suffix": ({"segments": "[{}]", "suffix": "a"}, "not_applicable", "suffix does not go together"),
}
bad = pytest.mark.parametrize(("request_", "error_type", "told"), REFUSED.values(), ids=REFUSED)


@bad
def test_it_is_refused_over_http(server: Server, request_: dict[str, Any], error_type: str, told: str) -> None:
    assert refused(server, request_, error_type).startswith(told)


@bad
def test_it_is_refused_over_grpc(server: Server, request_: dict[str, Any], error_type: str, told: str) -> None:
    assert refused_over_grpc(server, request_, error_type).startswith(told)


# -- the command line --------------------------------------------------------------------------------------------------


def test_the_command_puts_the_fill_between_two_files(server: Server, tmp_path: Path) -> None:
    left, right = tmp_path / "left.py", tmp_path / "right.py"
    left.write_text("def f(x):\n    return ")
    right.write_text("\n\nprint(f(1))\n")
    arguments = (str(left), str(right), "--infill-tokens", "4")
    fill = run(server, "infill", *arguments).stdout.removesuffix("\n")
    whole = run(server, "infill", *arguments, "--whole").stdout
    assert whole == left.read_text() + fill + right.read_text()


def test_the_command_shows_the_sizes_it_tried(server: Server) -> None:
    shown = run(server, "infill", "-", "--hole", "[[fill]]", "--candidates", text="one, two, [[fill]], four")
    assert shown.stdout.splitlines()[0].split() == ["gap", "tokens", "score", "mode", "text"]
    assert " * " in shown.stdout


def test_the_command_revises_a_file_in_place_as_its_diff_says(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT.encode())
    asked = ("revise", str(path), "--accept", "always", "--revise-threshold", "-1")
    revised = run(server, *asked).stdout
    changed = [line[1:] for line in run(server, *asked, "--show", "diff").stdout.splitlines() if line[0] == "+"][1:]
    assert run(server, *asked, "--in-place").stdout == ""
    assert path.read_bytes().decode().replace("\r\n", "\n") == revised
    assert changed == revised.splitlines()
