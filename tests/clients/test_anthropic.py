"""Anthropic's package, on /v1/messages: whole, streamed, with a thought, tools and forms, counted, refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.clients.clients import ANSWER, KEY, LONG, MESSAGES, MODES, ClientsServer, need, questions

anthropic = need("anthropic")


@pytest.fixture(scope="module")
def client(server: ClientsServer) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=server.origin, api_key="-", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("mode", MODES)
def test_a_message_is_what_generate_gives(server: ClientsServer, client: Any, mode: str) -> None:
    for question in questions(5):
        messages = [{"role": "user", "content": question}]
        expected = server.generate(messages=messages, mode=mode, max_tokens=160)
        asked = {"model": f"nano:{mode}", "messages": messages, "max_tokens": 160}
        assert client.messages.create(**asked).content[0].text == expected
        with client.messages.stream(**asked) as stream:
            assert "".join(stream.text_stream) == expected
            final = stream.get_final_message()
        assert (final.content[0].text, final.stop_reason) == (expected, "end_turn")


def test_a_thought_comes_apart(client: Any) -> None:
    asked: dict[str, Any] = {"model": "nano", "messages": MESSAGES, "max_tokens": 1100}
    found = client.messages.create(**asked, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in found.content] == ["thinking", "text"]
    assert "carry" in found.content[0].thinking and found.content[1].text == ANSWER


def test_our_own_fields_and_stop_sequences_count(server: ClientsServer, client: Any) -> None:
    more: dict[str, Any] = {"mode": "diffusion", "denoise_steps": 6, "temperature": 0.9, "seed": 7}
    expected = server.generate(messages=MESSAGES, stop_words=["write"], max_tokens=60, **more)
    found = client.messages.create(
        model="nano", messages=MESSAGES, max_tokens=60, stop_sequences=["write"], extra_body=more
    )
    assert (found.content[0].text, found.stop_sequence) == (expected, "write")


def test_tokens_are_counted_as_they_are_charged(client: Any) -> None:
    asked: dict[str, Any] = {"model": "nano", "system": "Be brief.", "messages": MESSAGES}
    usage = client.messages.create(**asked, max_tokens=1).usage
    counted = client.messages.count_tokens(**asked).input_tokens
    assert counted == usage.input_tokens + usage.cache_read_input_tokens


class Weather(BaseModel):
    city: str
    unit: Literal["C", "F"]


TOOLS: list[Any] = [{"name": "weather", "description": "The weather.", "input_schema": Weather.model_json_schema()}]


@pytest.mark.parametrize("mode", MODES)
def test_a_message_is_an_object_of_a_class(client: Any, mode: str) -> None:
    asked: dict[str, Any] = {"model": f"nano:{mode}", "messages": MESSAGES, "max_tokens": 100}
    found = client.messages.parse(**asked, output_format=Weather)
    assert isinstance(found.parsed_output, Weather)
    with client.messages.stream(**asked, output_format=Weather) as stream:
        assert stream.get_final_message().parsed_output == found.parsed_output


@pytest.mark.parametrize("mode", MODES)
def test_tools_are_called_whole_and_streamed(client: Any, mode: str) -> None:
    asked: dict[str, Any] = {"model": f"nano:{mode}", "max_tokens": 150, "tools": TOOLS}
    for choice in ({"type": "any"}, {"type": "tool", "name": "weather"}):
        found = client.messages.create(**asked, messages=MESSAGES, tool_choice=choice)
        assert found.stop_reason == "tool_use"
        calls = [Weather.model_validate(block.input) for block in found.content if block.type == "tool_use"]
        assert len(calls) == len(found.content) >= 1
        with client.messages.stream(**asked, messages=MESSAGES, tool_choice=choice) as stream:
            final = stream.get_final_message()
        assert [Weather.model_validate(block.input) for block in final.content] == calls
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "5"} for block in found.content]
    said = [*MESSAGES, {"role": "assistant", "content": found.content}, {"role": "user", "content": results}]
    after = client.messages.create(**asked, messages=said, tool_choice={"type": "none"})
    assert after.content[0].text


def test_its_own_loop_runs_tools(client: Any) -> None:
    ran = []

    @anthropic.beta_tool  # type: ignore[untyped-decorator]  # the package is not there when types are checked
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        ran.append((a, b))
        return str(a + b)

    asked: dict[str, Any] = {"model": "nano", "messages": MESSAGES, "max_tokens": 200, "max_iterations": 2}
    runner = client.beta.messages.tool_runner(
        **asked, tools=[add], tool_choice={"type": "any", "disable_parallel_tool_use": True}
    )
    assert [message.stop_reason for message in runner] == ["tool_use"] * 2
    assert ran and all(isinstance(one, int) for pair in ran for one in pair)


def test_the_models_are_listed(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["nano", *(f"nano:{mode}" for mode in MODES[1:])]
    assert client.models.retrieve("nano:diffusion").id == "nano:diffusion"


def test_errors_have_its_classes(client: Any) -> None:
    with pytest.raises(anthropic.NotFoundError, match="`other` does not exist"):
        client.messages.create(model="other", messages=MESSAGES, max_tokens=5)
    with pytest.raises(anthropic.BadRequestError, match="temperature must be between 0 and 2, got 3"):
        client.messages.create(model="nano", messages=MESSAGES, max_tokens=5, extra_body={"temperature": 3})
    with pytest.raises(anthropic.BadRequestError, match="longer than the model's context length"):
        client.messages.create(model="nano", messages=[{"role": "user", "content": LONG}], max_tokens=5)


def test_a_key_is_asked_for(locked: ClientsServer) -> None:
    asked: dict[str, Any] = {"model": "nano", "messages": MESSAGES, "max_tokens": 200}
    with (
        anthropic.Anthropic(base_url=locked.origin, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        stranger.messages.create(**asked)
    with anthropic.Anthropic(base_url=locked.origin, api_key=KEY, max_retries=0) as known:
        assert known.messages.create(**asked).content[0].text.endswith(ANSWER)


def test_a_stream_that_is_left_ends_its_work(server: ClientsServer, client: Any) -> None:
    with server.cancelling():
        stream = client.messages.create(
            model="nano:autoregressive", messages=MESSAGES, max_tokens=1800, stream=True, extra_body={"end_id": -1}
        )
        next(iter(stream))
        server.wait_metric("trimode_requests_running", 1)
        stream.close()
