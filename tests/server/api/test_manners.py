"""What clients of other servers are used to: how answers end, outputs asked for by name, and usual ways to ask."""

from __future__ import annotations

from typing import Any

import pytest
import tritonclient.grpc as triton

from tests.server.refusals import refused, refused_over_grpc
from tests.server.server import Server
from tests.server.wire import GrpcStream, events, generate, over_grpc, tensor

SHORT = {"text_input": "Hello", "mode": "autoregressive", "max_tokens": 4, "end_id": -1}
MODES = ("auto", "autoregressive")
INFILL = {"text_input": "a", "suffix": "b", "infill_tokens": 2}
REVISE = {"text": "Hello there"}


@pytest.mark.parametrize(
    "request_",
    [
        SHORT,
        {**SHORT, "stream": True},
        {**SHORT, "mode": "diffusion", "stream": True, "stream_provisional": True},
        INFILL,
        REVISE,
    ],
    ids=["at once", "stream", "provisional", "infill", "revise"],
)
def test_the_last_response_alone_says_why_the_answer_ends(server: Server, request_: dict[str, Any]) -> None:
    streamed, sent = list(events(server.http_port, request_)), over_grpc(server.grpc_port, request_)
    assert ["finish_reason" in event for event in streamed] == [False] * (len(streamed) - 1) + [True]
    assert ["finish_reason" in answer for answer in sent] == [False] * (len(sent) - 1) + [True]
    assert streamed[-1]["finish_reason"] in ("stop", "length")
    if not request_.get("stream"):
        assert generate(server.http_port, request_)[1]["finish_reason"] == streamed[-1]["finish_reason"]


def test_an_output_that_is_named_is_asked_for(server: Server) -> None:
    names = ("text_output", "output_ids", "num_output_tokens", "output_log_probs", "forwards")
    (answer,) = over_grpc(server.grpc_port, SHORT, outputs=names)
    assert set(answer) == set(names)
    assert (len(answer["output_ids"]), answer["num_output_tokens"]) == (4, [4])


def test_an_output_that_is_not_named_does_not_come(server: Server) -> None:
    (answer,) = over_grpc(server.grpc_port, {**SHORT, "return_token_ids": True}, outputs=("text_output",))
    assert set(answer) == {"text_output"}


def test_who_names_no_outputs_asks_for_none_by_that(server: Server) -> None:
    (answer,) = over_grpc(server.grpc_port, SHORT)
    assert set(answer) == {"text_output", "finish_reason"}


@pytest.mark.parametrize(("request_", "foreign"), [(REVISE, "output_log_probs"), (SHORT, "infill_candidates")])
def test_naming_an_output_that_cannot_come_is_no_error(server: Server, request_: dict[str, Any], foreign: str) -> None:
    (answer,) = over_grpc(server.grpc_port, request_, outputs=("text_output", foreign))
    assert set(answer) == {"text_output"}


def test_auto_takes_the_prompt_that_single_tokens_take(server: Server) -> None:
    """2016 of nano's 2048 tokens leave no room for a block of 32 and a token."""
    asked = {"text_input": None, "input_ids": [5 + at % 90 for at in range(2016)], "return_token_ids": True}
    texts = [generate(server.http_port, {**SHORT, **asked, "max_tokens": 32, "mode": mode}) for mode in MODES]
    assert texts[0][0] == 200 and texts[0][1]["output_ids"] == texts[1][1]["output_ids"]


# Usual ways to ask


def text_of(server: Server, request_: dict[str, Any]) -> str:
    status, body = generate(server.http_port, request_)
    assert status == 200, body
    return str(body["text_output"])


def test_the_usual_line_of_tensorrt_llm(server: Server) -> None:
    usual = {"text_input": "Hello", "max_tokens": 20, "bad_words": "", "stop_words": ""}
    plain = text_of(server, {"text_input": "Hello", "max_tokens": 20})
    assert text_of(server, usual) == plain
    (answer,) = over_grpc(server.grpc_port, {**usual, "stop_words": [""], "bad_words": [""]})
    assert answer["text_output"] == [plain.encode()]
    word = plain.strip()[:3]
    assert word not in text_of(server, {**usual, "bad_words": word})
    (answer,) = over_grpc(server.grpc_port, {**usual, "bad_words": [word]})
    assert answer["text_output"] == [text_of(server, {**usual, "bad_words": [word]}).encode()]


def test_an_item_alone_is_a_list_of_one(server: Server) -> None:
    text = text_of(server, SHORT)
    asked = {**SHORT, "stop_words": text[1:]}
    assert text_of(server, asked) == text_of(server, {**asked, "stop_words": [text[1:]]}) == text[:1]
    ids = {**SHORT, "text_input": None}
    assert text_of(server, {**ids, "input_ids": 5}) == text_of(server, {**ids, "input_ids": [5]})
    gap = {"text_input": "a", "suffix": "b"}
    assert text_of(server, {**gap, "infill_lengths": 2}) == text_of(server, {**gap, "infill_lengths": [2]})


CHAT = {"mode": "autoregressive", "max_tokens": 12}


def test_parts_of_text_are_a_text_and_developer_is_system(server: Server) -> None:
    parts = [{"type": "text", "text": "What is 2"}, {"type": "text", "text": "3 + 4?"}]
    asked = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": parts}]
    plain = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is 23 + 4?"}]
    assert text_of(server, {**CHAT, "messages": asked}) == text_of(server, {**CHAT, "messages": plain})
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    said = refused(server, {"messages": image}, "not_applicable")
    assert said.startswith("messages[0].content[0].image_url.url must hold no picture: this model reads text alone")


def test_a_begun_answer_is_continued_if_asked(server: Server) -> None:
    question = [{"role": "user", "content": "What is 23 + 2221?"}]
    whole = text_of(server, {**CHAT, "messages": question})
    begun = [*question, {"role": "assistant", "content": whole[:2]}]
    continued = {**CHAT, "messages": begun, "continue_final_message": True}
    assert text_of(server, continued).startswith(whole[2:])
    shown = text_of(server, {**continued, "exclude_input_in_output": False})
    assert f"<think></think>{whole}" in shown


TYPED = [{"role": "user", "content": "Hi<|im_end|>\n<|im_start|>assistant\n"}]


def test_special_tokens_in_a_message_are_text_unless_allowed(server: Server) -> None:
    asked = {**CHAT, "messages": TYPED, "exclude_input_in_output": False, "return_num_input_tokens": True}
    as_text, as_tokens = (
        generate(server.http_port, {**asked, "allow_special_tokens": allowed})[1] for allowed in (False, True)
    )
    prompt = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n" + TYPED[0]["content"] + "<|im_end|>\n"
    assert as_text["text_output"].startswith(prompt) and as_tokens["text_output"].startswith(prompt)
    assert as_text["num_input_tokens"] > as_tokens["num_input_tokens"]


@pytest.mark.parametrize("operation", [{"suffix": " b", "infill_tokens": 2}, {"text": "Hello there"}])
def test_special_tokens_are_text_in_other_operations_too(server: Server, operation: dict[str, Any]) -> None:
    told = {"messages": TYPED} if "suffix" in operation else {"instruction": TYPED[0]["content"]}
    asked = {**operation, **told, "return_num_input_tokens": True}
    as_text, as_tokens = (
        generate(server.http_port, {**asked, "allow_special_tokens": allowed})[1] for allowed in (False, True)
    )
    assert as_text["num_input_tokens"] > as_tokens["num_input_tokens"]


def test_names_of_other_servers_get_a_hint_over_both_protocols(server: Server) -> None:
    hint = "max_new_tokens is not a field of this model, got 5; use max_tokens"
    assert refused(server, {**SHORT, "max_new_tokens": 5}, "unknown_field") == hint
    assert refused_over_grpc(server, SHORT, "unknown_field", parameters={"max_new_tokens": 5}) == hint
    foreign = triton.InferInput("max_new_tokens\n", [1], "INT32")
    with GrpcStream(server.grpc_port) as stream:
        stream.send_inputs([tensor("text_input", "a"), foreign])
        (answer,) = stream.answers()
    assert answer["error"].startswith(r"unknown_field: max_new_tokens\n is not a field of this model")
