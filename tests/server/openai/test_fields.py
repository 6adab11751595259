"""Fields of requests do what they say, through the openai package."""

from __future__ import annotations

from functools import partial
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from tests.server.openai.asking import MODES, QUESTION, post
from tests.server.server import Server, wait_until
from tests.server.wire import generate


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


def test_what_is_cached_of_a_prompt_serves_the_same_salt_alone(server: Server) -> None:
    def cached(salt: str | None, path: str = "/v1/completions", **prompt: Any) -> int:
        status, found = post(server, path, {**prompt, "cache_salt": salt})
        assert status == 200, found
        usage = found["usage"]
        return int((usage.get("prompt_tokens_details") or usage["input_tokens_details"])["cached_tokens"])

    prompt = [70 + at % 50 for at in range(200)]
    assert [cached(salt, prompt=prompt, max_tokens=1) for salt in ("one", "two", None)] == [0, 0, 0]

    def serves(salt: str | None) -> bool:
        return cached(salt, prompt=prompt, max_tokens=1) >= 192

    for salt in ("one", "two", None):
        wait_until(partial(serves, salt), partial("nothing is cached with the salt {}".format, salt), 120)
    long = "What is 23 + 2221? " * 20
    asked = partial(cached, "three", "/v1/responses", input=long, max_output_tokens=1)
    assert asked() == 0
    wait_until(lambda: asked() > 0, lambda: "nothing of the question is cached", 120)


def test_every_chunk_may_have_the_usage(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    asked: dict[str, Any] = {"model": "nano", "messages": QUESTION, "n": 2, "temperature": 1.0, "seed": 1}
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options=options))
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    counts = [usage.completion_tokens for usage in usages]
    assert len(counts) == len(chunks) and counts == sorted(counts) and 0 < counts[-2] == counts[-1]
    assert len({usage.prompt_tokens for usage in usages[:-1]}) == 1
    whole = client.chat.completions.create(**asked).usage
    assert whole is not None and whole.total_tokens == usages[-1].total_tokens == usages[-2].total_tokens
    extra: dict[str, Any] = {"model": "nano", "prompt": "Once", "max_tokens": 5, "stream": True}
    texts = [chunk.usage for chunk in client.completions.create(**extra, stream_options=options)]
    assert [usage and usage.completion_tokens for usage in texts[-2:]] == [5, 5]
    alone: Any = {"continuous_usage_stats": True}
    plain = client.chat.completions.create(**asked, max_tokens=3, stream=True, stream_options=alone)
    assert not any(chunk.usage for chunk in plain)


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


def test_tokens_and_words_may_be_forbidden(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "nano", "prompt": "Once", "max_tokens": 30}
    text = client.completions.create(**asked).choices[0].text
    word = text.split()[0]
    assert word not in client.completions.create(**asked, extra_body={"bad_words": [word]}).choices[0].text
    extra = {"return_token_ids": True, "min_tokens": 10}
    ids = (client.completions.create(**asked, extra_body=extra).choices[0].model_extra or {})["token_ids"]
    stopped = client.completions.create(**asked, extra_body={"stop_token_ids": [ids[3]], "return_token_ids": True})
    own = stopped.choices[0].model_extra or {}
    assert stopped.choices[0].finish_reason == "stop" and own["stop_reason"] == ids[3] == own["token_ids"][-1]
    allowed = {"allowed_token_ids": ids[:1], "return_token_ids": True}
    only = client.completions.create(**asked, extra_body=allowed).choices[0]
    assert set((only.model_extra or {})["token_ids"]) == {ids[0]}


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_may_stay(client: openai.OpenAI, stream: bool) -> None:
    asked: dict[str, Any] = {"model": "nano:autoregressive", "messages": QUESTION, "stop": ["carry"], "stream": stream}
    found = client.chat.completions.create(**asked, extra_body={"include_stop_str_in_output": True})
    parts = list(found) if stream else []
    text = (
        "".join(part.choices[0].delta.content or "" for part in parts) if stream else found.choices[0].message.content
    )
    last = parts[-1] if stream else found
    assert text.endswith("carry") and (last.choices[0].model_extra or {})["stop_reason"] == "carry"


def test_the_end_of_a_long_prompt_may_count_alone(client: openai.OpenAI) -> None:
    extra = {"truncate_prompt_tokens": 3, "return_token_ids": True}
    asked: dict[str, Any] = {"model": "nano", "max_tokens": 4, "extra_body": extra}
    cut = client.completions.create(**asked, prompt=list(range(70, 90)), echo=True)
    assert (cut.choices[0].model_extra or {})["prompt_token_ids"] == [87, 88, 89]
    assert cut.usage is not None and cut.usage.prompt_tokens == 3
    assert cut.choices[0].text == client.completions.create(**asked, prompt=[87, 88, 89], echo=True).choices[0].text
    long: dict[str, Any] = {"model": "nano:autoregressive", "prompt": [70] * 4000, "max_tokens": 4}
    room = client.completions.create(**long, extra_body={"truncate_prompt_tokens": -1})
    assert room.usage is not None and room.usage.prompt_tokens == 2048 - 4
    chat = client.chat.completions.create(model="nano", messages=QUESTION, max_tokens=4, extra_body=extra)
    assert chat.usage is not None and chat.usage.prompt_tokens == 3
