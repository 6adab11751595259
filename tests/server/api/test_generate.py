"""What a caller gets back in each mode, over HTTP, SSE and gRPC."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.api.fields import Mode
from trimode.api.tensors import COUNTS, RATIOS

from tests.server.server import Server
from tests.server.wire import GrpcStream, events, generate, over_grpc, text_of

PROMPT = "Once upon a time there was"
EVERYTHING = {
    "return_token_ids": True,
    "return_log_probs": True,
    "return_num_input_tokens": True,
    "return_num_output_tokens": True,
    "return_finish_reason": True,
    "return_perf_metrics": True,
    "return_effective_params": True,
}

modes = pytest.mark.parametrize("mode", [mode.value for mode in Mode])
fixed_modes = pytest.mark.parametrize("mode", [mode.value for mode in Mode if mode is not Mode.AUTO])
"""Those that take the same passes each time."""


def request(mode: str, **more: Any) -> dict[str, Any]:
    return {"text_input": PROMPT, "mode": mode, "max_tokens": 40, "end_id": -1, **more}


def answer(server: Server, request: dict[str, Any]) -> dict[str, Any]:
    status, body = generate(server.http_port, request)
    assert status == 200, body
    return body


def whole(events: list[dict[str, Any]], name: str) -> list[Any]:
    """A list output over all events; Triton writes a list of one as the bare value."""
    parts = [event[name] for event in events if name in event]
    return [item for part in parts for item in (part if isinstance(part, list) else [part])]


@modes
def test_generate_answers_with_the_text_and_why_it_ends(server: Server, mode: str) -> None:
    assert set(answer(server, request(mode))) == {"model_name", "model_version", "text_output", "finish_reason"}


@modes
def test_events_add_up_to_the_answer_at_once(server: Server, mode: str) -> None:
    streamed = list(events(server.http_port, request(mode, stream=True)))
    assert len(streamed) > 1
    assert text_of(streamed) == answer(server, request(mode))["text_output"]


@modes
def test_a_grpc_stream_adds_up_to_the_answer_over_http(server: Server, mode: str) -> None:
    streamed = over_grpc(server.grpc_port, request(mode, stream=True))
    assert text_of(streamed) == answer(server, request(mode))["text_output"]


@modes
def test_grpc_without_stream_gets_one_answer(server: Server, mode: str) -> None:
    answers = over_grpc(server.grpc_port, request(mode))
    assert [text_of(answers)] == [answer(server, request(mode))["text_output"]]
    assert len(answers) == 1


@modes
def test_streamed_ids_are_those_of_the_answer_at_once(server: Server, mode: str) -> None:
    streamed = list(events(server.http_port, request(mode, stream=True, return_token_ids=True)))
    assert whole(streamed, "output_ids") == answer(server, request(mode, return_token_ids=True))["output_ids"]


@fixed_modes
def test_streamed_counters_are_those_of_the_answer_at_once(server: Server, mode: str) -> None:
    last = list(events(server.http_port, request(mode, stream=True, return_perf_metrics=True)))[-1]
    once = answer(server, request(mode, return_perf_metrics=True))
    assert {name: last[name] for name in (*COUNTS, *RATIOS)} == {name: once[name] for name in (*COUNTS, *RATIOS)}


def test_greedy_self_speculation_is_the_autoregressive_text(server: Server) -> None:
    texts = {mode: answer(server, request(mode))["text_output"] for mode in ("self_speculation", "autoregressive")}
    assert texts["self_speculation"] == texts["autoregressive"]


@modes
def test_every_output_comes_when_asked(server: Server, mode: str) -> None:
    body = answer(server, request(mode, **EVERYTHING))
    assert body["num_output_tokens"] == len(body["output_ids"]) == len(body["output_log_probs"]) == 40
    assert body["finish_reason"] == "length"
    assert body["cum_log_probs"] == pytest.approx(sum(body["output_log_probs"]), rel=1e-3)
    assert {*COUNTS, *RATIOS, "num_input_tokens"} <= set(body)


def test_causal_log_probabilities_of_diffusion_are_those_of_the_same_text_as_a_prompt(server: Server) -> None:
    """The text of a diffused answer, given token by token as a prompt, has its next token's log-probability."""
    asked = {"return_log_probs": True, "return_token_ids": True, "return_perf_metrics": True, "max_tokens": 12}
    made = answer(server, request("diffusion", block_length=8, log_probs_kind="causal", **asked))
    assert (made["score_forwards"], made["commit_forwards"]) == (2, 0)
    once = answer(server, request("diffusion", block_length=8, **asked))
    assert (once["output_ids"], once["score_forwards"], once["commit_forwards"]) == (made["output_ids"], 0, 1)
    assert once["output_log_probs"] != made["output_log_probs"]
    greedy = answer(server, request("autoregressive", **asked))
    same = [one == two for one, two in zip(made["output_ids"], greedy["output_ids"], strict=True)]
    shared = same.index(False) if False in same else len(same)
    assert shared > 0
    assert made["output_log_probs"][:shared] == pytest.approx(greedy["output_log_probs"][:shared], abs=1e-4)


def test_effective_params_echo_the_decimal_that_was_written(server: Server) -> None:
    asked = {"temperature": 0.7, "top_p": 0.9, "threshold": 0.35, "seed": 2**40 + 1}
    over_http = answer(server, request("diffusion", return_effective_params=True, **asked))["effective_params"]
    over_stream = over_grpc(server.grpc_port, request("diffusion", return_effective_params=True, **asked))
    for echo in (json.loads(over_http), json.loads(over_stream[0]["effective_params"][0])):
        assert {name: echo[name] for name in asked} == asked


def test_the_same_seed_gives_the_same_text(server: Server) -> None:
    sampled = request("autoregressive", temperature=0.9, seed=7)
    assert answer(server, sampled) == answer(server, sampled)


def test_stop_words_end_the_answer_before_them(server: Server) -> None:
    text = answer(server, request("autoregressive"))["text_output"]
    word = text[len(text) // 2 :][:5]
    stopped = answer(server, request("autoregressive", stop_words=[word]))
    assert stopped["text_output"] == text[: text.index(word)]
    assert stopped["finish_reason"] == "stop"


def test_the_prompt_leads_the_answer_when_asked(server: Server) -> None:
    text = answer(server, request("autoregressive"))["text_output"]
    assert answer(server, request("autoregressive", exclude_input_in_output=False))["text_output"] == PROMPT + text


def test_messages_may_be_a_list_over_http(server: Server) -> None:
    chat = [{"role": "user", "content": "Hello"}]
    asked = {"max_tokens": 8, "mode": "autoregressive"}
    as_list = answer(server, {"messages": chat, **asked})
    assert as_list == answer(server, {"messages": json.dumps(chat), **asked})


def test_fields_may_come_as_parameters(server: Server) -> None:
    inputs = {"text_input": PROMPT, "return_num_output_tokens": True}
    parameters = {"max_tokens": 3, "mode": "autoregressive", "end_id": -1}
    answers = over_grpc(server.grpc_port, inputs, parameters=parameters)
    assert answers[-1]["num_output_tokens"] == [3]


def test_requests_may_share_a_grpc_stream(server: Server) -> None:
    with GrpcStream(server.grpc_port) as stream:
        for number in range(4):
            stream.send(request("autoregressive", max_tokens=4), request_id=str(number))
        texts = {text_of(list(stream.answers())) for _ in range(4)}
    assert len(texts) == 1


def test_a_deadline_ends_the_request(server: Server) -> None:
    long = request("autoregressive", max_tokens=600, timeout_ms=1)
    status, body = generate(server.http_port, long)
    assert (status, body["error"].split(":")[0]) == (504, "deadline_exceeded")
