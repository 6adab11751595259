"""LangChain's classes for OpenAI: chat models, plain texts, errors. It sends null for all that is not said."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from tests.clients.clients import (
    ANSWER,
    ENDLESS,
    KEY,
    LEFT,
    LONG,
    MODES,
    QUESTION,
    RIGHT,
    ClientsServer,
    need,
    questions,
)

langchain_openai = need("langchain_openai")
exceptions = need("langchain_core.exceptions")
messages = need("langchain_core.messages")


def chat(server: ClientsServer, model: str = "nano", **more: Any) -> Any:
    given = {"api_key": "-", "base_url": server.base, "max_retries": 0, **more}
    return langchain_openai.ChatOpenAI(model=model, **given)


def text(server: ClientsServer, **more: Any) -> Any:
    return langchain_openai.OpenAI(
        model="nano", api_key="-", base_url=server.base, max_retries=0, temperature=0, **more
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_chat_is_what_generate_gives(server: ClientsServer, mode: str) -> None:
    model = chat(server, f"nano:{mode}", max_tokens=160)
    asked = questions(5)
    expected = [
        server.generate(messages=[{"role": "user", "content": one}], mode=mode, max_tokens=160) for one in asked
    ]
    assert [model.invoke(one).content for one in asked] == expected
    assert ["".join(piece.content for piece in model.stream(one)) for one in asked] == expected
    assert [answer.content for answer in model.batch(asked)] == expected


def test_many_at_once(server: ClientsServer) -> None:
    async def ask() -> list[Any]:
        return list(await asyncio.gather(*(chat(server).ainvoke(QUESTION) for _ in range(6))))

    assert all(answer.content.endswith(ANSWER) for answer in asyncio.run(ask()))


def test_seed_stop_and_our_own_fields_count(server: ClientsServer) -> None:
    request: dict[str, Any] = {"temperature": 0.9, "seed": 7, "max_tokens": 60}
    expected = server.generate(
        messages=[{"role": "user", "content": QUESTION}], mode="diffusion", denoise_steps=6, stop_words=["write"],
        **request,
    )  # fmt: skip
    model = chat(server, **request, extra_body={"mode": "diffusion", "denoise_steps": 6})
    assert model.invoke(QUESTION, stop=["write"]).content == expected


def test_usage_comes_whole_and_streamed(server: ClientsServer) -> None:
    usage = chat(server).invoke(QUESTION).usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    total = None
    for piece in chat(server, stream_usage=True).stream(QUESTION):
        total = piece if total is None else total + piece
    assert total is not None
    assert total.usage_metadata["output_tokens"] == usage["output_tokens"]


def test_log_probabilities_come(server: ClientsServer) -> None:
    found = chat(server, logprobs=True, top_logprobs=1, max_tokens=3).invoke(QUESTION)
    content = found.response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in content) == found.content


def test_a_thought_is_not_in_the_answer(server: ClientsServer) -> None:
    found = chat(server, reasoning_effort="low").invoke(QUESTION)
    assert found.content == ANSWER
    assert found.usage_metadata["output_token_details"]["reasoning"] > 0


class Weather(BaseModel):
    """Tell the weather of a city."""

    city: str = Field(max_length=20)
    unit: Literal["C", "F"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_an_answer_is_an_object_of_a_class(server: ClientsServer, mode: str, method: str) -> None:
    model = chat(server, f"nano:{mode}", max_tokens=100).with_structured_output(Weather, method=method)
    assert isinstance(model.invoke(QUESTION), Weather)


def test_any_object_is_valid_json_and_comes_raw(server: ClientsServer) -> None:
    model = chat(server, max_tokens=60).with_structured_output(None, method="json_mode", include_raw=True)
    found = model.invoke(QUESTION)
    assert isinstance(found["parsed"], dict) and found["parsing_error"] is None


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_an_object_is_streamed_and_made_by_responses(server: ClientsServer, method: str) -> None:
    expected = chat(server, max_tokens=100).with_structured_output(Weather, method=method).invoke(QUESTION)
    *_, last = chat(server, max_tokens=100).with_structured_output(Weather, method=method).stream(QUESTION)
    assert last == expected
    responses = chat(server, max_tokens=100, use_responses_api=True)
    assert isinstance(responses.with_structured_output(Weather, method=method).invoke(QUESTION), Weather)


def test_tools_are_called_whole_and_streamed(server: ClientsServer) -> None:
    calling = chat(server, max_tokens=150).bind_tools([Weather], tool_choice="any")
    answer = calling.invoke(QUESTION)
    assert answer.tool_calls and all(Weather.model_validate(call["args"]) for call in answer.tool_calls)
    total = None
    for piece in calling.stream(QUESTION):
        total = piece if total is None else total + piece
    assert total is not None
    assert [call["args"] for call in total.tool_calls] == [call["args"] for call in answer.tool_calls]
    results = [messages.ToolMessage("5", tool_call_id=call["id"]) for call in answer.tool_calls]
    after = chat(server, max_tokens=20).bind_tools([Weather], tool_choice="none")
    assert after.invoke([messages.HumanMessage(QUESTION), answer, *results]).content


@pytest.mark.parametrize("stream", [False, True])
def test_responses_work(server: ClientsServer, stream: bool) -> None:
    model = chat(server, use_responses_api=True)
    found = list(model.stream(QUESTION)) if stream else [model.invoke(QUESTION)]
    blocks = [block for message in found for block in message.content if block["type"] == "text"]
    assert "".join(block["text"] for block in blocks).endswith(ANSWER)


def test_a_plain_text_goes_on(server: ClientsServer) -> None:
    expected = server.generate(text_input="Once upon", max_tokens=12)
    assert text(server, max_tokens=12).invoke("Once upon") == expected
    assert "".join(text(server, max_tokens=12).stream("Once upon")) == expected


def test_a_suffix_asks_for_the_gap(server: ClientsServer) -> None:
    expected = server.generate(text_input=LEFT, suffix=RIGHT, max_tokens=8)
    assert text(server, max_tokens=8, model_kwargs={"suffix": RIGHT}).invoke(LEFT) == expected


def test_errors_have_its_classes(server: ClientsServer) -> None:
    with pytest.raises(exceptions.ModelNotFoundError, match="`other` does not exist"):
        chat(server, "other").invoke(QUESTION)
    with pytest.raises(openai.BadRequestError, match="temperature must be between 0 and 2, got 3"):
        chat(server, temperature=3).invoke(QUESTION)
    with pytest.raises(exceptions.ContextOverflowError):
        chat(server).invoke(LONG)
    embeddings = langchain_openai.OpenAIEmbeddings(
        model="nano", api_key="-", base_url=server.base, check_embedding_ctx_length=False
    )
    with pytest.raises(openai.NotFoundError, match="/v1/embeddings is not served here"):
        embeddings.embed_query("a")


def test_a_key_is_asked_for(locked: ClientsServer) -> None:
    with pytest.raises(openai.AuthenticationError):
        chat(locked).invoke(QUESTION)
    assert chat(locked, api_key=KEY).invoke(QUESTION).content.endswith(ANSWER)


def test_a_stream_that_is_left_ends_its_work(server: ClientsServer) -> None:
    with server.cancelling():
        stream = chat(server, "nano:autoregressive", extra_body={"ignore_eos": True}, **ENDLESS).stream(QUESTION)
        next(stream)
        server.wait_metric("trimode_requests_running", 1)
        stream.close()
