"""LiteLLM: chats as vLLM and as OpenAI, plain texts and gaps, errors by its own classes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clients.clients import (
    ANSWER,
    ENDLESS,
    KEY,
    LEFT,
    LONG,
    MESSAGES,
    MODES,
    RIGHT,
    ClientsServer,
    need,
    questions,
)

litellm = need("litellm")
litellm.suppress_debug_info = True
PROVIDERS = ("hosted_vllm", "openai")


@pytest.fixture
def base(server: ClientsServer) -> dict[str, Any]:
    return {"api_base": server.base, "api_key": "-", "max_retries": 0}


def said(stream: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def test_the_models_are_listed(base: dict[str, Any]) -> None:
    found = litellm.get_valid_models(
        check_provider_endpoint=True, custom_llm_provider="hosted_vllm", api_base=base["api_base"], api_key="-"
    )
    assert found == ["nano", *(f"nano:{mode}" for mode in MODES[1:])]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("mode", MODES)
def test_a_chat_is_what_generate_gives(server: ClientsServer, base: dict[str, Any], provider: str, mode: str) -> None:
    for question in questions(5):
        messages = [{"role": "user", "content": question}]
        expected = server.generate(messages=messages, mode=mode, max_tokens=160)
        asked = {"model": f"{provider}/nano:{mode}", "messages": messages, "max_tokens": 160, **base}
        assert litellm.completion(**asked).choices[0].message.content == expected
        assert said(litellm.completion(**asked, stream=True)) == expected


@pytest.mark.parametrize("provider", PROVIDERS)
def test_seed_stop_and_temperature_count(server: ClientsServer, base: dict[str, Any], provider: str) -> None:
    expected = server.generate(
        messages=MESSAGES, mode="autoregressive", temperature=0.9, seed=7, stop_words=["write"], max_tokens=60
    )
    found = litellm.completion(
        model=f"{provider}/nano:autoregressive", messages=MESSAGES, temperature=0.9, seed=7, stop=["write"],
        max_tokens=60, **base,
    )  # fmt: skip
    assert found.choices[0].message.content == expected
    assert found.choices[0].finish_reason == "stop"


def test_our_own_fields_pass(base: dict[str, Any]) -> None:
    found = litellm.completion(
        model="hosted_vllm/nano", messages=MESSAGES, mode="diffusion", denoise_steps=4, return_effective_params=True,
        **base,
    )  # fmt: skip
    params = found.choices[0].provider_specific_fields["trimode"]["effective_params"]
    assert (params["mode"], params["denoise_steps"]) == ("diffusion", 4)


@pytest.mark.parametrize("stream", [False, True])
def test_a_thought_comes_apart(base: dict[str, Any], stream: bool) -> None:
    found = litellm.completion(
        model="hosted_vllm/nano", messages=MESSAGES, reasoning_effort="low", stream=stream, **base
    )
    deltas = [chunk.choices[0].delta for chunk in found] if stream else [found.choices[0].message]
    assert "".join(delta.content or "" for delta in deltas) == ANSWER
    assert "carry" in "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)


def test_log_probabilities_come(base: dict[str, Any]) -> None:
    found = litellm.completion(
        model="hosted_vllm/nano", messages=MESSAGES, logprobs=True, top_logprobs=3, max_tokens=3, **base
    )
    content = found.choices[0].logprobs.content
    assert "".join(token.token for token in content) == found.choices[0].message.content
    for token in content:
        assert len(token.top_logprobs) == 3
        assert max(other.logprob for other in token.top_logprobs) == token.logprob <= 0


def test_the_usage_of_a_stream_comes(base: dict[str, Any]) -> None:
    asked = {"model": "hosted_vllm/nano", "messages": MESSAGES, **base}
    *_, last = litellm.completion(**asked, stream=True, stream_options={"include_usage": True})
    whole = litellm.completion(**asked).usage
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (whole.prompt_tokens, whole.completion_tokens)


@pytest.mark.parametrize("provider", ["text-completion-openai", "hosted_vllm"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_suffix_asks_for_the_gap(server: ClientsServer, base: dict[str, Any], provider: str, stream: bool) -> None:
    expected = server.generate(text_input=LEFT, suffix=RIGHT, max_tokens=8)
    found = litellm.text_completion(
        model=f"{provider}/nano", prompt=LEFT, suffix=RIGHT, max_tokens=8, stream=stream, **base
    )
    assert "".join(chunk.choices[0].text or "" for chunk in (found if stream else [found])) == expected


def test_a_plain_text_goes_on(server: ClientsServer, base: dict[str, Any]) -> None:
    expected = server.generate(text_input="Once upon", max_tokens=12)
    found = litellm.text_completion(model="text-completion-openai/nano", prompt="Once upon", max_tokens=12, **base)
    assert found.choices[0].text == expected


def test_responses_work(base: dict[str, Any]) -> None:
    found = litellm.responses(model="openai/nano", input="What is 23 + 2221?", **base)
    assert found.output[0].content[0].text.endswith(ANSWER)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_errors_have_its_classes(base: dict[str, Any], provider: str) -> None:
    with pytest.raises(litellm.NotFoundError, match="`other` does not exist"):
        litellm.completion(model=f"{provider}/other", messages=MESSAGES, **base)
    with pytest.raises(litellm.BadRequestError, match="temperature must be between 0 and 2, got 3"):
        litellm.completion(model=f"{provider}/nano", messages=MESSAGES, temperature=3, **base)
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(model=f"{provider}/nano", messages=[{"role": "user", "content": LONG}], **base)
    with pytest.raises(litellm.NotFoundError, match="/v1/embeddings is not served here"):
        litellm.embedding(model=f"{provider}/nano", input=["a"], **base)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_key_is_asked_for(locked: ClientsServer, provider: str) -> None:
    asked = {"model": f"{provider}/nano", "messages": MESSAGES, "api_base": locked.base, "max_retries": 0}
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**asked, api_key="wrong")
    assert litellm.completion(**asked, api_key=KEY).choices[0].message.content.endswith(ANSWER)


def test_a_stream_that_is_left_ends_its_work(server: ClientsServer, base: dict[str, Any]) -> None:
    async def leave() -> None:
        stream = await litellm.acompletion(
            model="hosted_vllm/nano:autoregressive", messages=MESSAGES, stream=True, ignore_eos=True, **ENDLESS, **base
        )
        await anext(stream)
        server.wait_metric("trimode_requests_running", 1)
        await stream.aclose()

    with server.cancelling():
        asyncio.run(leave())
