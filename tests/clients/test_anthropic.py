"""Anthropic's package, on /v1/messages: whole, streamed, with a thought, counted, refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

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
