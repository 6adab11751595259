"""Answers and chunks in the shapes of the openai package, whose types read them."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from tests.server.openai.asking import ANSWER, QUESTION, post
from tests.server.server import Server
from tests.server.wire import send


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


def test_our_own_fields_are_keys_and_their_outputs_come_back(client: openai.OpenAI) -> None:
    extra = {"denoise_steps": 4, "return_perf_metrics": True, "return_effective_params": True}
    found = client.chat.completions.create(model="nano:diffusion", messages=QUESTION, extra_body=extra)
    own = (found.choices[0].model_extra or {})["trimode"]
    assert own["effective_params"]["denoise_steps"] == 4 and own["effective_params"]["mode"] == "diffusion"
    assert own["counters"]["denoise_forwards"] > 0
