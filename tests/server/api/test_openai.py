"""The endpoints that OpenAI's clients use, through the real server and the openai package, whose types read answers."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from tests.server.server import Server
from tests.server.wire import generate, send

NANO = Path(__file__).parents[3] / "checkpoints" / "nano"
LINES = (NANO / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
HELD_OUT = [item["messages"] for line in LINES if "messages" in (item := json.loads(line))]
SAMPLE = HELD_OUT[:: len(HELD_OUT) // 24][:24]
MODES = ("auto", "autoregressive", "diffusion", "self_speculation")
QUESTION: list[Any] = [{"role": "user", "content": "What is 23 + 2221?"}]
ANSWER = "Answer: 2244"


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.http_port}/v1", api_key="-", max_retries=0) as made:
        yield made


def post(server: Server, path: str, body: object) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answer = send(server.http_port, "POST", path, data)
    return status, json.loads(answer)


def refused(server: Server, path: str, body: dict[str, Any], param: str | None, code: str, status: int = 400) -> str:
    found, answer = post(server, path, body)
    error = answer["error"]
    assert (found, error["param"], error["code"]) == (status, param, code), answer
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["message"])


# -- what is served ----------------------------------------------------------------------------------------------------


def test_each_mode_is_a_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["nano", *(f"nano:{mode}" for mode in MODES[1:])]
    found = client.models.retrieve("nano:diffusion")
    assert isinstance(found, Model) and found.owned_by == "trimode"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-x")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_chat_has_the_shape_of_the_package(client: openai.OpenAI) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="nano", messages=QUESTION, extra_headers={"x-request-id": "mine"}
    )
    assert answer.headers["x-request-id"] == "mine" and int(answer.headers["openai-processing-ms"]) >= 0
    found = ChatCompletion.model_validate(json.loads(answer.text), strict=True)
    assert found.choices[0].finish_reason == "stop"
    assert str(found.choices[0].message.content).endswith(ANSWER)
    assert found.usage is not None and found.usage.total_tokens > found.usage.completion_tokens > 0
    assert found.usage.prompt_tokens_details is not None


@pytest.mark.parametrize("mode", MODES)
def test_a_chat_is_what_generate_gives_whole_or_streamed(server: Server, client: openai.OpenAI, mode: str) -> None:
    for messages in SAMPLE:
        _, expected = generate(server.http_port, {"messages": messages, "mode": mode, "max_tokens": 160})
        whole = client.chat.completions.create(model=f"nano:{mode}", messages=messages, max_tokens=160)
        assert whole.choices[0].message.content == expected["text_output"]
        stream = client.chat.completions.create(
            model="nano", messages=messages, max_tokens=160, stream=True, extra_body={"mode": mode}
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == expected["text_output"]


@pytest.mark.parametrize("mode", MODES)
def test_a_completion_is_what_generate_gives(server: Server, client: openai.OpenAI, mode: str) -> None:
    request: dict[str, Any] = {"mode": mode, "max_tokens": 24, "temperature": 0.8, "seed": 5, "stop_words": ["the"]}
    _, expected = generate(server.http_port, {"text_input": "Once upon", **request})
    for stream in (False, True):
        asked: dict[str, Any] = {"model": f"nano:{mode}", "prompt": "Once upon", "max_tokens": 24, "temperature": 0.8}
        found = client.completions.create(**asked, seed=5, stop="the", stream=stream)
        parts = [found] if isinstance(found, Completion) else list(found)
        assert "".join(part.choices[0].text for part in parts) == expected["text_output"]


def test_a_stream_has_the_chunks_that_clients_expect(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="nano", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    assert all(ChatCompletionChunk.model_validate(chunk.model_dump()) for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[0].choices[0].delta.content == ""
    assert chunks[-2].choices[0].finish_reason == "stop" and not chunks[-2].choices[0].delta.content
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_ends_with_done(server: Server) -> None:
    body = json.dumps({"messages": QUESTION, "stream": True, "max_tokens": 4}).encode()
    status, sent = send(server.http_port, "POST", "/v1/chat/completions", body)
    assert status == 200 and sent.endswith(b"data: [DONE]\n\n")


def test_the_asynchronous_client_runs_many_at_once(server: Server) -> None:
    async def ask() -> list[str]:
        base = f"http://127.0.0.1:{server.http_port}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="-", max_retries=0) as client:

            async def one(mode: str) -> str:
                stream = await client.chat.completions.create(model=f"nano:{mode}", messages=QUESTION, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*(one(mode) for mode in MODES[1:] for _ in range(2)))

    assert all(text.endswith(ANSWER) for text in asyncio.run(ask()))


def test_several_prompts_of_both_kinds_and_several_answers(client: openai.OpenAI) -> None:
    prompts: Any = ["Once", [70, 71, 72]]
    found = client.completions.create(model="nano", prompt=prompts, n=2, max_tokens=3, temperature=1.0, seed=1)
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    single = client.completions.create(model="nano", prompt="Once", max_tokens=3, temperature=1.0, seed=2)
    assert found.choices[1].text == single.choices[0].text
    assert found.usage is not None and found.usage.completion_tokens == 12
    streamed = ["", "", "", ""]
    for chunk in client.completions.create(
        model="nano", prompt=prompts, n=2, max_tokens=3, temperature=1.0, seed=1, stream=True
    ):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == [choice.text for choice in found.choices]


def test_the_likeliest_of_several_answers_comes_first(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "nano", "prompt": "Once", "max_tokens": 6, "temperature": 1.0, "seed": 3}
    every = client.completions.create(**asked, n=4, logprobs=0)

    def likelihood(choice: Any) -> float:
        values = choice.logprobs.token_logprobs
        return float(sum(values) / len(values))

    best = client.completions.create(**asked, best_of=4, n=1)
    assert best.choices[0].text == max(every.choices, key=likelihood).text


def test_echo_puts_the_prompt_in_front(client: openai.OpenAI) -> None:
    with_echo = client.completions.create(model="nano", prompt="Once", max_tokens=4, echo=True)
    without = client.completions.create(model="nano", prompt="Once", max_tokens=4)
    assert with_echo.choices[0].text == "Once" + without.choices[0].text
    nothing = client.completions.create(model="nano", prompt="Once", max_tokens=0, echo=True)
    assert (nothing.choices[0].text, nothing.choices[0].finish_reason) == ("Once", "length")


def test_a_suffix_asks_for_what_stands_before_it(server: Server, client: openai.OpenAI) -> None:
    left, right = '{"name": "Anna", "age": ', ', "city": "Lima"}'
    _, expected = generate(server.http_port, {"text_input": left, "suffix": right, "max_tokens": 8})
    found = client.completions.create(model="nano", prompt=left, suffix=right, max_tokens=8)
    assert found.choices[0].text == expected["text_output"]
    body = {"model": "nano", "prompt": left, "suffix": right, "max_tokens": 8, "stop": ["\n\n"], "presence_penalty": 0}
    status, answer = post(server, "/v1/fim/completions", body)
    assert status == 200
    assert ChatCompletion.model_validate(answer).choices[0].message.content == expected["text_output"]
    end = expected["text_output"][-1:]
    _, cut = post(server, "/v1/fim/completions", {**body, "stop": [end]})
    assert expected["text_output"].startswith(cut["choices"][0]["message"]["content"] + end)
    assert cut["choices"][0]["stop_reason"] == end


def test_without_a_suffix_the_prompt_goes_on(server: Server, client: openai.OpenAI) -> None:
    whole = client.completions.create(model="nano", prompt="Once", suffix="", max_tokens=5).choices[0].text
    _, answer = post(server, "/v1/fim/completions", {"prompt": "Once", "suffix": None, "max_tokens": 5})
    assert answer["choices"][0]["message"]["content"] == whole


def test_a_thought_comes_apart(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "nano", "messages": QUESTION, "reasoning_effort": "low"}
    message = client.chat.completions.create(**asked).choices[0].message
    assert message.content == ANSWER
    assert message.model_extra is not None
    assert "carry" in message.model_extra["reasoning_content"] == message.model_extra["reasoning"]
    thought = text = ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        delta = chunk.choices[0].delta
        text += delta.content or ""
        thought += (delta.model_extra or {}).get("reasoning_content", "")
    assert (thought, text) == (message.model_extra["reasoning_content"], ANSWER)
    hidden = client.chat.completions.create(**asked, extra_body={"include_reasoning": False})
    assert "reasoning" not in (hidden.choices[0].message.model_extra or {})
    assert hidden.choices[0].message.content == ANSWER


def test_the_log_probabilities_are_those_of_generate(server: Server, client: openai.OpenAI) -> None:
    request = {"messages": QUESTION, "mode": "autoregressive", "max_tokens": 6, "return_log_probs": True}
    _, expected = generate(server.http_port, request)
    asked: dict[str, Any] = {"model": "nano:autoregressive", "messages": QUESTION, "max_tokens": 6, "logprobs": True}
    choice = client.chat.completions.create(**asked, top_logprobs=1).choices[0]
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert [token.logprob for token in choice.logprobs.content] == pytest.approx(expected["output_log_probs"])
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert all(token.top_logprobs[0].token == token.token for token in choice.logprobs.content)
    found = client.completions.create(model="nano", prompt="Once", max_tokens=4, logprobs=1).choices[0]
    assert found.logprobs is not None and found.logprobs.text_offset is not None
    assert found.logprobs.tokens is not None and "".join(found.logprobs.tokens) == found.text
    assert found.logprobs.text_offset[0] == 0 and len(found.logprobs.text_offset) == 4


def test_an_answer_takes_what_the_context_leaves(server: Server, client: openai.OpenAI) -> None:
    found = client.completions.create(model="nano:autoregressive", prompt="Once", extra_body={"end_id": -1})
    assert found.usage is not None and found.usage.total_tokens == 2048
    assert found.choices[0].finish_reason == "length"


@pytest.mark.parametrize("mode", MODES)
def test_the_room_is_that_of_generate(client: openai.OpenAI, mode: str) -> None:
    asked: dict[str, Any] = {"model": f"nano:{mode}", "messages": QUESTION}
    found = client.chat.completions.create(**asked, extra_body={"return_effective_params": True})
    room = (found.choices[0].model_extra or {})["trimode"]["effective_params"]["max_tokens"]
    assert found.usage is not None and 2048 - 32 <= room + found.usage.prompt_tokens <= 2048
    with pytest.raises(openai.BadRequestError, match="max_tokens must be at most"):
        client.chat.completions.create(**asked, max_tokens=room + 1)


def test_ignore_eos_and_min_tokens_hold_the_length(client: openai.OpenAI) -> None:
    for extra in ({"ignore_eos": True}, {"min_tokens": 100}):
        found = client.chat.completions.create(model="nano", messages=QUESTION, max_tokens=100, extra_body=extra)
        assert found.usage is not None and found.usage.completion_tokens == 100


def test_a_last_message_goes_on(client: openai.OpenAI) -> None:
    begun: Any = [*QUESTION, {"role": "assistant", "content": "0023 + 2221\n3+1+0=4, write 4,"}]
    extra = {"continue_final_message": True, "add_generation_prompt": False}
    found = client.chat.completions.create(model="nano", messages=begun, extra_body=extra)
    assert str(found.choices[0].message.content).startswith(" carry 0\n2+2")


def test_null_is_as_if_it_were_left_out(server: Server) -> None:
    names = ("temperature", "top_p", "stop", "seed", "logprobs", "tools", "response_format", "n", "mode", "user")
    body = {"model": None, "messages": [{**QUESTION[0], "name": None}], "max_tokens": 3, **dict.fromkeys(names)}
    assert post(server, "/v1/chat/completions", body)[0] == 200


def test_our_own_fields_are_keys_and_their_outputs_come_back(client: openai.OpenAI) -> None:
    extra = {"denoise_steps": 4, "return_perf_metrics": True, "return_effective_params": True}
    found = client.chat.completions.create(model="nano:diffusion", messages=QUESTION, extra_body=extra)
    own = (found.choices[0].model_extra or {})["trimode"]
    assert own["effective_params"]["denoise_steps"] == 4 and own["effective_params"]["mode"] == "diffusion"
    assert own["counters"]["denoise_forwards"] > 0


def test_responses_have_the_shape_of_the_package(client: openai.OpenAI) -> None:
    found = client.responses.create(model="nano", input="What is 23 + 2221?", store=True)
    assert isinstance(found, Response) and found.output_text.endswith(ANSWER) and found.status == "completed"
    with client.responses.stream(model="nano", input=[*QUESTION], reasoning={"effort": "low"}) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == ANSWER and [item.type for item in final.output] == ["reasoning", "message"]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed"
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        client.responses.create(model="nano", input="a", previous_response_id="resp_1")


def test_messages_have_anthropics_shape(server: Server) -> None:
    body = {"model": "nano", "max_tokens": 200, "system": [], "messages": QUESTION}
    status, answer = post(server, "/v1/messages", body)
    assert status == 200 and answer["content"][0]["text"].endswith(ANSWER) and answer["stop_reason"] == "end_turn"
    _, stopped = post(server, "/v1/messages", {**body, "stop_sequences": ["write"]})
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "write")
    _, raw = send(server.http_port, "POST", "/v1/messages", json.dumps({**body, "stream": True}).encode())
    names = [line[7:] for line in raw.decode().splitlines() if line.startswith("event: ")]
    assert names[:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    parts = [json.loads(line[6:]) for line in raw.decode().splitlines() if line.startswith("data: ")]
    said = "".join(part["delta"]["text"] for part in parts if part["type"] == "content_block_delta")
    assert said == answer["content"][0]["text"]
    status, error = post(server, "/v1/messages", {**body, "max_tokens": "many"})
    assert (status, error["type"], error["error"]["type"]) == (400, "error", "invalid_request_error")


def test_tokens_and_text(server: Server) -> None:
    _, found = post(server, "/tokenize", {"prompt": "hello 🙂", "return_token_strs": True})
    assert found["count"] == len(found["tokens"]) == len(found["token_strs"]) and found["max_model_len"] == 2048
    assert post(server, "/detokenize", {"tokens": found["tokens"]}) == (200, {"prompt": "hello 🙂"})
    _, chat = post(server, "/tokenize", {"messages": QUESTION})
    _, answer = post(server, "/v1/chat/completions", {"messages": QUESTION, "max_tokens": 1})
    assert chat["count"] == answer["usage"]["prompt_tokens"]


def test_health_version_and_metrics(server: Server) -> None:
    assert send(server.http_port, "GET", "/health") == (200, b"")
    assert [send(server.http_port, "GET", f"/v1/health/{name}")[0] for name in ("live", "ready")] == [200, 200]
    assert json.loads(send(server.http_port, "GET", "/version")[1])["version"]
    status, text = send(server.http_port, "GET", "/metrics")
    assert status == 200 and b"trimode_requests_total" in text


# -- what is refused ---------------------------------------------------------------------------------------------------

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
REFUSED: dict[str, tuple[str, dict[str, Any], str | None, str]] = {
    "an unknown field": (CHAT, {"messages": QUESTION, "temprature": 1}, "temprature", "unknown_field"),
    "a grammar": (CHAT, {"messages": QUESTION, "response_format": {"type": "json_object"}}, "response_format",
                  "not_applicable"),
    "tools": (CHAT, {"messages": QUESTION, "tools": [{"type": "function"}]}, "tools", "not_applicable"),
    "a bias": (TEXT, {"prompt": "a", "logit_bias": {"5": 1}}, "logit_bias", "not_applicable"),
    "a hot temperature": (TEXT, {"prompt": "a", "temperature": 2.5}, "temperature", "invalid_value"),
    "a text for a number": (TEXT, {"prompt": "a", "max_tokens": "5"}, "max_tokens", "wrong_type"),
    "an image": (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
                 "messages[0].content[0].type", "invalid_value"),
    "a tool's message": (CHAT, {"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role", "invalid_value"),
    "two modes": (CHAT, {"model": "nano:diffusion", "mode": "auto", "messages": QUESTION}, "mode", "given_twice"),
    "a knob of another mode": (CHAT, {"model": "nano:autoregressive", "messages": QUESTION, "threshold": 0.5},
                               "threshold", "not_applicable"),
    "more likely tokens": (CHAT, {"messages": QUESTION, "logprobs": True, "top_logprobs": 5}, "top_logprobs",
                           "not_applicable"),
    "an answer that is too long": (CHAT, {"messages": QUESTION, "max_completion_tokens": 5000},
                                   "max_completion_tokens", "context_length_exceeded"),
    "a prompt that is too long": (TEXT, {"prompt": "a b " * 2100}, "prompt", "context_length_exceeded"),
    "ids out of the vocabulary": (TEXT, {"prompt": [5, 2048]}, "prompt", "invalid_value"),
    "too many stop strings": (TEXT, {"prompt": "a", "stop": ["b"] * 17}, "stop", "invalid_value"),
    "no messages": (CHAT, {"messages": []}, "messages", "invalid_value"),
    "no prompt": (TEXT, {}, "prompt", "bad_prompt"),
    "log-probabilities of the prompt": (TEXT, {"prompt": "a", "echo": True, "logprobs": 1}, "logprobs",
                                        "not_applicable"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "param", "code"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_by_name(server: Server, path: str, body: dict[str, Any], param: str, code: str) -> None:
    assert refused(server, path, body, param, code).startswith(param)
    assert refused(server, path, {**body, "stream": True}, param, code)


def test_what_is_no_request_is_refused(server: Server) -> None:
    for body in (b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"\xff"):
        assert post(server, CHAT, body)[0] == 400
    assert send(server.http_port, "GET", CHAT)[0] == 405
    assert send(server.http_port, "POST", "/v1/embeddings", b"{}")[0] == 404
    assert refused(server, CHAT, {"model": "other", "messages": QUESTION}, "model", "model_not_found", 404)


def test_the_package_raises_its_own_errors(server: Server, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="nano", messages=QUESTION, temperature=5)
    assert (caught.value.param, caught.value.code) == ("temperature", "invalid_value")
    large = httpx.post(f"http://127.0.0.1:{server.http_port}{TEXT}", content=b" " * (9 * 2**20))
    assert large.status_code == 413 and large.json()["error"]["code"] == "too_large"


# -- who leaves --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 2])
def test_a_client_that_leaves_ends_its_work(server: Server, stream: bool, n: int) -> None:
    server.settle()
    cancelled = server.metric("trimode_requests_total", outcome="cancelled")
    body = {"model": "nano:autoregressive", "prompt": "Once", "max_tokens": 1500, "ignore_eos": True, "n": n}
    with closing(http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)) as connection:
        connection.request("POST", TEXT, json.dumps({**body, "stream": stream}))
        server.wait_metric("trimode_requests_running", n)
    server.wait_metric("trimode_requests_total", cancelled + n, outcome="cancelled")
    server.wait_metric("trimode_requests_running", 0)
