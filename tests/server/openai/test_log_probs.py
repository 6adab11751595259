"""Log-probabilities of answers and of prompts."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.server.openai.asking import MODES, QUESTION, post
from tests.server.server import Server
from tests.server.wire import generate


def test_the_log_probabilities_are_those_of_generate(server: Server, client: openai.OpenAI) -> None:
    request = {"messages": QUESTION, "mode": "autoregressive", "max_tokens": 6, "return_log_probs": True}
    _, expected = generate(server.http_port, request)
    asked: dict[str, Any] = {"model": "nano:autoregressive", "messages": QUESTION, "max_tokens": 6, "logprobs": True}
    choice = client.chat.completions.create(**asked, top_logprobs=1).choices[0]
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert [token.logprob for token in choice.logprobs.content] == pytest.approx(expected["output_log_probs"], abs=1e-5)
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert all(token.top_logprobs[0].token == token.token for token in choice.logprobs.content)
    found = client.completions.create(model="nano", prompt="Once", max_tokens=4, logprobs=1).choices[0]
    assert found.logprobs is not None and found.logprobs.text_offset is not None
    assert found.logprobs.tokens is not None and "".join(found.logprobs.tokens) == found.text
    assert found.logprobs.text_offset[0] == 0 and len(found.logprobs.text_offset) == 4


@pytest.mark.parametrize("mode", MODES)
def test_the_likeliest_tokens_come_with_each(client: openai.OpenAI, mode: str) -> None:
    asked: dict[str, Any] = {"model": f"nano:{mode}", "messages": QUESTION, "max_tokens": 20, "logprobs": True}
    sampled: dict[str, Any] = {"temperature": 1.0, "seed": 3}
    for more in ({}, sampled):
        choice = client.chat.completions.create(**asked, **more, top_logprobs=20).choices[0]
        assert choice.logprobs is not None and choice.logprobs.content
        for token in choice.logprobs.content:
            values = [one.logprob for one in token.top_logprobs]
            assert len(values) == 20 and values == sorted(values, reverse=True)
            assert values[0] >= token.logprob
            same = [one.logprob for one in token.top_logprobs if one.token == token.token and one.bytes == token.bytes]
            assert token.logprob in same or token.logprob <= values[-1]
        if not more and mode == "autoregressive":
            assert all(token.top_logprobs[0].token == token.token for token in choice.logprobs.content)


def test_a_bias_leaves_log_probabilities_as_they_are(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "nano", "prompt": "Once", "max_tokens": 1, "logprobs": 5}
    free = client.completions.create(**asked).choices[0].logprobs
    assert free is not None and free.tokens is not None and free.top_logprobs is not None
    number = client.completions.create(**asked, extra_body={"return_token_ids": True}).choices[0]
    (chosen,) = (number.model_extra or {})["token_ids"]
    moved = client.completions.create(**asked, logit_bias={str(chosen): -100}).choices[0].logprobs
    assert moved is not None and moved.tokens is not None and moved.top_logprobs is not None
    assert moved.tokens != free.tokens
    assert moved.top_logprobs[0][free.tokens[0]] == pytest.approx(free.top_logprobs[0][free.tokens[0]])


def scored(client: openai.OpenAI, prompt: Any, **more: Any) -> Any:
    """As lm-eval asks: how likely is the prompt?"""
    asked: dict[str, Any] = {"model": "nano", "temperature": 0, "max_tokens": 1, "logprobs": 1, "echo": True, "seed": 7}
    return client.completions.create(**{**asked, "prompt": prompt, **more})


def test_prompts_of_ids_have_log_probabilities_as_harnesses_ask_for_them(server: Server, client: openai.OpenAI) -> None:
    _, text = post(server, "/tokenize", {"prompt": "The answer is 42. é🙂 " * 20})
    first, second = text["tokens"], text["tokens"][:9]
    both = scored(client, [first, second])
    for ids, choice in zip((first, second), both.choices, strict=True):
        found = choice.logprobs
        sizes = {len(part) for part in (found.tokens, found.token_logprobs, found.top_logprobs, found.text_offset)}
        assert sizes == {len(ids) + 1}  # and one token of an answer, which harnesses drop
        assert found.token_logprobs[0] is None and found.top_logprobs[0] is None and found.text_offset[0] == 0
        pairs = list(zip(found.top_logprobs, found.token_logprobs, strict=True))[1:]
        assert all(max(top.values()) >= value for top, value in pairs)
        assert all(len(top) in (1, 2) for top in found.top_logprobs[1:])
    assert both.choices[0].text.startswith("The answer is 42. é🙂")
    again = scored(client, [first]).choices[0].logprobs  # with its beginning in the prefix cache now
    assert again == both.choices[0].logprobs


@pytest.mark.parametrize("mode", MODES)
def test_the_log_probability_of_a_prompt_is_that_of_the_same_text_as_an_answer(
    client: openai.OpenAI, mode: str
) -> None:
    answer = client.completions.create(
        model="nano:autoregressive", prompt="Once", max_tokens=90, logprobs=3, extra_body={"return_token_ids": True}
    ).choices[0]
    assert answer.logprobs is not None and answer.logprobs.token_logprobs is not None
    prompt = client.completions.create(
        model="nano", prompt="Once", max_tokens=1, extra_body={"return_token_ids": True}
    ).choices[0]
    ids = [*(prompt.model_extra or {})["prompt_token_ids"], *(answer.model_extra or {})["token_ids"]]
    found = scored(client, ids, model=f"nano:{mode}", max_tokens=0, logprobs=3).choices[0]
    count = len((answer.model_extra or {})["token_ids"])
    assert found.logprobs.token_logprobs[-count:] == pytest.approx(answer.logprobs.token_logprobs, abs=1e-4)
    assert found.logprobs.tokens[-count:] == answer.logprobs.tokens
    assert (found.text, found.finish_reason) == ("Once" + answer.text, "length")


def test_nothing_but_the_prompt(client: openai.OpenAI) -> None:
    found = scored(client, "Once upon", max_tokens=0, logprobs=0)
    choice = found.choices[0]
    assert "".join(choice.logprobs.tokens) == choice.text == "Once upon"
    assert found.usage.completion_tokens == 0
    assert [choice.text[at:][:1] for at in choice.logprobs.text_offset] == [one[:1] for one in choice.logprobs.tokens]
    streamed = list(scored(client, "Once upon", max_tokens=0, stream=True))
    assert streamed[0].choices[0].logprobs == scored(client, "Once upon", max_tokens=0).choices[0].logprobs


def test_a_stream_begins_with_the_prompt(client: openai.OpenAI) -> None:
    whole = scored(client, "Once upon", max_tokens=5, model="nano:autoregressive").choices[0]
    parts = [one.choices[0] for one in scored(client, "Once upon", max_tokens=5, model="nano:autoregressive",
                                              stream=True)]  # fmt: skip
    assert "".join(part.text for part in parts) == whole.text
    offsets = [at for part in parts if part.logprobs for at in part.logprobs.text_offset]
    assert offsets == whole.logprobs.text_offset


def test_vllms_log_probabilities_of_prompts(client: openai.OpenAI) -> None:
    extra = {"prompt_logprobs": 3, "return_token_ids": True}
    text = client.completions.create(model="nano", prompt="Once upon", max_tokens=1, extra_body=extra).choices[0]
    own = text.model_extra or {}
    assert own["prompt_logprobs"][0] is None and len(own["prompt_logprobs"]) == len(own["prompt_token_ids"])
    for number, entry in zip(own["prompt_token_ids"][1:], own["prompt_logprobs"][1:], strict=True):
        assert str(number) in entry and len(entry) in (3, 4)
        assert [one["rank"] for one in entry.values()][:3] == [1, 2, 3]
    chat = client.chat.completions.create(model="nano", messages=QUESTION, max_tokens=1, extra_body=extra)
    own = chat.model_extra or {}
    assert len(own["prompt_logprobs"]) == len(own["prompt_token_ids"]) == (chat.usage and chat.usage.prompt_tokens)
