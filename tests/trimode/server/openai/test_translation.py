"""From the body of each endpoint to requests to generate, without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.server.access.turnstile import Visit
from trimode.server.body_check import check_request
from trimode.server.openai import chat_completions, completions, fim_completions
from trimode.server.openai.messages import request as messages
from trimode.server.openai.responses import request as responses
from trimode.server.openai.shared.asked import Asked
from trimode.server.openai.shared.prompt import is_quick, with_room

from tests.support.openai_facts import END_ID, error_of, facts, ids_of

QUESTION = [{"role": "user", "content": "Hi"}]
CHAT: dict[str, Any] = {"messages": QUESTION, "max_tokens": 5}


def chat(**body: Any) -> Asked:
    return chat_completions.translate({**CHAT, **body}, facts())


def text(**body: Any) -> Asked:
    return completions.translate({"prompt": "Hi", "max_tokens": 5, **body}, facts())


def refused_in_chat(**body: Any) -> tuple[str | None, str]:
    error = error_of(chat_completions.translate, {**CHAT, **body}, facts())
    assert error.status == 400
    return error.param, error.code


def refused_in_text(**body: Any) -> tuple[str | None, str]:
    error = error_of(completions.translate, {"prompt": "Hi", "max_tokens": 5, **body}, facts())
    assert error.status == 400
    return error.param, error.code


def job(asked: Asked) -> dict[str, Any]:
    (one,) = asked.jobs
    check_request(dict(one), "tag", Visit("caller"), streaming=asked.stream)
    return dict(one)


def test_the_mode_is_in_the_name_of_the_model() -> None:
    assert "mode" not in job(chat(model="nano"))
    assert job(chat(model="other:diffusion"))["mode"] == "diffusion"
    assert job(chat(model="nano:auto", mode="auto"))["mode"] == "auto"
    assert refused_in_chat(model="nano:diffusion", mode="auto") == ("mode", "given_twice")
    assert error_of(chat_completions.translate, {**CHAT, "model": "nano:fast"}, facts()).code == "model_not_found"


def test_contents_and_roles_become_those_of_generate() -> None:
    said: list[dict[str, Any]] = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {"role": "user", "content": "Hi", "name": "Anna"},
        {"role": "assistant", "content": None, "tool_calls": None, "reasoning_content": "Hm."},
        {"role": "user", "content": ""},
    ]
    assert job(chat(messages=said))["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": ""},
    ]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Hi", "messages[0]"),
        ({"content": "Hi"}, "messages[0].role"),
        ({"role": "tool", "content": "Hi"}, "messages[0].tool_call_id"),
        ({"role": "function", "content": "Hi"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "messages[0].content[0].image_url"),
        ({"role": "system", "content": [{"type": "image_url"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"role": "user", "content": "a\ud800"}, "messages[0].content"),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, "messages[0].tool_calls[0].function"),
        ({"role": "user", "content": "", "tool_calls": [{}]}, "messages[0].tool_calls"),
        ({"role": "user", "content": "Hi", "mood": "good"}, "messages[0].mood"),
    ],
)
def test_a_message_that_is_none_is_named(message: object, param: str) -> None:
    assert refused_in_chat(messages=[message])[0] == param


def test_the_newer_name_of_max_tokens_goes_before_the_older() -> None:
    asked = chat(max_tokens=7, max_completion_tokens=9)
    assert job(asked)["max_tokens"] == 9
    assert asked.names["max_tokens"] == "max_completion_tokens"


def room(**body: Any) -> int | None:
    """The length that is left for the answer to a plain text or ids."""
    found = with_room(text(max_tokens=None, **body), facts())
    return found.jobs[-1].get("max_tokens")


def test_without_max_tokens_the_answer_takes_what_the_context_leaves() -> None:
    count = len(ids_of("Hi"))
    assert room() == room(n=2) == 2048 - count
    assert room(threshold=0.5) == room(model="nano:self_speculation") == 2048 - 32 - count  # no longer auto
    assert room(model="nano:autoregressive") == 2048 - count
    assert room(block_length=8, mode="diffusion") == 2048 - 8 - count
    assert room(prompt=["Hi", [5] * 100]) == 2048 - 100
    assert room(suffix="b") is None
    for prompt in ([5] * 2048, "a" * 10**6):
        error = error_of(lambda prompt=prompt: room(prompt=prompt))
        assert (error.param, error.code) == ("prompt", "context_length_exceeded")


def test_what_takes_time_is_known() -> None:
    assert is_quick(text()) and is_quick(text(max_tokens=None)) and is_quick(chat())
    assert not is_quick(chat(max_tokens=None)) and not is_quick(text(max_tokens=None, prompt="a" * 10**5))


def test_values_that_mean_nothing_here_are_turned_into_those_of_generate() -> None:
    found = job(text(top_k=-1, seed=-1, user="u" * 200, stop=None, temperature=1))
    assert (found["top_k"], found["seed"], found["temperature"]) == (0, 2**63 - 1, 1.0)
    assert len(found["user"]) == 64 and "stop_words" not in found


def test_a_prediction_is_a_text_or_parts_of_one() -> None:
    for content in ("def f():", [{"type": "text", "text": "def "}, {"type": "text", "text": "f():"}]):
        prediction = {"type": "content", "content": content}
        assert job(chat(prediction=prediction))["prediction"] == "def f():"
        assert job(text(prediction=prediction))["prediction"] == "def f():"
    assert job(chat(prediction="def f():"))["prediction"] == "def f():"
    assert "prediction" not in job(chat(prediction=None))
    assert job(chat(prompt_lookup=True))["prompt_lookup"] is True


@pytest.mark.parametrize(
    ("prediction", "param", "code"),
    [
        (3, "prediction", "wrong_type"),
        ({"content": "a"}, "prediction.type", "invalid_value"),
        ({"type": "text", "content": "a"}, "prediction.type", "invalid_value"),
        ({"type": "content"}, "prediction.content", "wrong_type"),
        ({"type": "content", "content": [{"type": "image_url"}]}, "prediction.content[0].type", "invalid_value"),
        ({"type": "content", "content": "a", "more": 1}, "prediction.more", "unknown_field"),
    ],
)
def test_what_is_no_prediction_is_refused(prediction: object, param: str, code: str) -> None:
    assert refused_in_chat(prediction=prediction) == (param, code)


def test_other_endpoints_take_no_prediction() -> None:
    error = error_of(fim_completions.translate, {"prompt": "a", "suffix": "b", "prediction": "c"}, facts())
    assert (error.param, error.code) == ("prediction", "not_applicable")
    error = error_of(messages.translate, {"messages": QUESTION, "max_tokens": 5, "prediction": "c"}, facts())
    assert (error.param, error.code) == ("prediction", "not_applicable")


def test_the_end_token_may_be_ignored() -> None:
    assert job(text(ignore_eos=True))["end_id"] == -1
    assert "end_id" not in job(text(min_tokens=3, ignore_eos=False))
    assert refused_in_text(ignore_eos=True, end_id=END_ID)[0] == "end_id"


def test_stop_has_two_names() -> None:
    assert job(text(stop="a"))["stop_words"] == job(text(stop_words=["a"]))["stop_words"] == ["a"]
    assert refused_in_text(stop="a", stop_words=["b"]) == ("stop_words", "given_twice")
    assert refused_in_text(stop=[""])[0] == refused_in_text(stop=["a"] * 17)[0] == "stop"


def test_a_gap_is_cut_in_front_and_takes_no_neutral_penalties() -> None:
    asked = text(suffix="b", stop=["x"] * 20, presence_penalty=0, repetition_penalty=1, max_tokens=4096)
    found = job(asked)
    assert asked.cut and len(asked.stops) == 20 and found["max_tokens"] == 1024
    assert not {"stop_words", "presence_penalty", "repetition_penalty", "stream"} & set(found)
    assert job(text(suffix="b", presence_penalty=0.5))["presence_penalty"] == 0.5  # for generate to refuse


def test_prompts_and_answers_multiply() -> None:
    asked = text(prompt=["a", [5, 6]], n=2, seed=2**63 - 1)
    assert [one.get("text_input", one.get("input_ids")) for one in asked.jobs] == ["a", "a", [5, 6], [5, 6]]
    assert [one["seed"] for one in asked.jobs] == [2**63 - 1, 0, 2**63 - 1, 0] and asked.prompts == 2
    assert refused_in_text(prompt=["a"] * 65, n=2)[0] == "n"
    assert refused_in_text(prompt=["a"] * 129)[0] == "prompt"
    assert refused_in_text(n=3, best_of=2)[0] == refused_in_text(best_of=2, stream=True)[0] == "best_of"


@pytest.mark.parametrize(
    ("prompt", "param"),
    [([], "prompt"), ([[]], "prompt[0]"), ([True], "prompt[0]"), ([1, "a"], "prompt[0]"), ([["a"]], "prompt[0]"),
     ({}, "prompt"), (5, "prompt"), ([-1], "prompt"), ("\ud800", "prompt")],
)  # fmt: skip
def test_what_is_no_prompt_is_refused(prompt: object, param: str) -> None:
    assert refused_in_text(prompt=prompt)[0] == param


def test_who_thinks() -> None:
    assert not chat().thinking
    assert chat(reasoning_effort="low").thinking and not chat(reasoning_effort="none").thinking
    assert chat(enable_thinking=True).thinking
    assert not chat(enable_thinking=True, chat_template_kwargs={"enable_thinking": False}).thinking
    assert job(chat(reasoning_effort="high", thinking_token_budget=9))["max_thinking_tokens"] == 9
    assert refused_in_chat(chat_template_kwargs={"tone": 1})[0] == "chat_template_kwargs.tone"


def test_a_last_message_goes_on() -> None:
    begun = [*QUESTION, {"role": "assistant", "content": "Hel"}]
    asked = chat(messages=begun, continue_final_message=True, add_generation_prompt=False)
    assert job(asked)["continue_final_message"] and "continue_final_message" not in job(chat(messages=begun))
    assert chat(messages=begun, continue_final_message=True, reasoning_effort="low").thinking
    ended = [*QUESTION, {"role": "assistant", "content": "Hm</think>Hel"}]
    assert not chat(messages=ended, continue_final_message=True, reasoning_effort="low").thinking
    assert refused_in_chat(continue_final_message=True)[0] == "continue_final_message"
    assert refused_in_chat(add_generation_prompt=False)[0] == "add_generation_prompt"


def test_log_probabilities_are_those_of_the_tokens_chosen() -> None:
    assert (chat(logprobs=True).logprobs, chat(logprobs=True, top_logprobs=1).logprobs, chat().logprobs) == (0, 1, None)
    assert text(logprobs=0).logprobs == 0 and job(text(logprobs=1))["return_log_probs"]
    assert job(chat(logprobs=True, top_logprobs=7, temperature=1))["top_log_probs"] == 7
    assert refused_in_chat(logprobs=True, top_logprobs=21) == ("top_logprobs", "invalid_value")
    assert refused_in_chat(top_logprobs=0) == ("top_logprobs", "not_applicable")
    assert refused_in_text(logprobs=6)[0] == refused_in_text(logprobs=0, suffix="b")[0] == "logprobs"


def test_log_probabilities_of_prompts_are_asked_for_by_echo_or_by_vllms_name() -> None:
    assert job(text(logprobs=1, echo=True))["return_prompt_log_probs"]
    silent = text(logprobs=2, echo=True, max_tokens=0)
    assert silent.silent and job(silent)["max_tokens"] == 1
    both = chat(logprobs=True, top_logprobs=2, prompt_logprobs=5)
    assert (both.logprobs, both.prompt_logprobs, job(both)["top_log_probs"]) == (2, 5, 5)
    assert refused_in_chat(prompt_logprobs=1, stream=True) == ("prompt_logprobs", "not_applicable")
    assert refused_in_text(prompt_logprobs=1, suffix="b") == ("prompt_logprobs", "not_applicable")


def test_streams_have_options() -> None:
    assert chat(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": None}).include_usage
    assert refused_in_chat(stream_options={"include_usage": True})[0] == "stream_options"
    assert refused_in_chat(stream=True, stream_options={"x": 1})[0] == "stream_options.x"
    assert refused_in_chat(stream=True, stream_options={"include_obfuscation": True})[1] == "not_applicable"
    both = chat(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})
    assert both.continuous and both.jobs[0]["return_token_ids"]
    assert not chat(stream=True, stream_options={"continuous_usage_stats": True}).continuous


def test_no_tokens_make_sense_with_echo_alone() -> None:
    assert text(max_tokens=0, echo=True).echo == ("Hi",)
    assert refused_in_text(max_tokens=0)[0] == refused_in_chat(max_tokens=0)[0] == "max_tokens"
    assert text(prompt=ids_of("Hi 🙂"), echo=True).echo == ("Hi 🙂",)


def test_mistrals_dialect() -> None:
    found = job(fim_completions.translate({"prompt": "a", "suffix": "b", "random_seed": 4}, facts()))
    assert (found["text_input"], found["suffix"], found["seed"]) == ("a", "b", 4)
    plain = job(fim_completions.translate({"prompt": "a", "suffix": ""}, facts()))
    assert "suffix" not in plain
    assert error_of(fim_completions.translate, {"suffix": "b"}, facts()).param == "prompt"


def test_anthropics_messages() -> None:
    body: dict[str, Any] = {"max_tokens": 9, "system": [{"type": "text", "text": "S"}], "messages": QUESTION}
    more = {"stop_sequences": ["x"], "metadata": {"user_id": "me"}, "thinking": {"type": "enabled", "budget_tokens": 4}}
    found = job(messages.translate({**body, **more}, facts()))
    assert found["messages"] == [{"role": "system", "content": "S"}, *QUESTION]
    assert (found["stop_words"], found["user"], found["max_thinking_tokens"]) == (["x"], "me", 4)
    assert found["enable_thinking"]
    begun = {**body, "messages": [*QUESTION, {"role": "assistant", "content": "Hel"}]}
    assert job(messages.translate(begun, facts()))["continue_final_message"]
    assert error_of(messages.translate, {"messages": QUESTION}, facts()).param == "max_tokens"
    assert error_of(messages.translate, {**body, "thinking": {"type": "x"}}, facts()).param == "thinking.type"


def test_responses_input() -> None:
    content = [{"type": "input_text", "text": "Hi"}]
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    said = [thought, {"type": "message", "id": "msg_1", "role": "user", "content": content}]
    wanted = responses.translate({"input": said, "instructions": "S", "max_output_tokens": 5}, facts())
    assert job(wanted.asked)["messages"] == [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]
    assert wanted.echo["instructions"] == "S" and wanted.asked.names["max_tokens"] == "max_output_tokens"
    assert responses.translate({"input": "Hi", "reasoning": {"effort": "low"}}, facts()).asked.thinking
    assert error_of(responses.translate, {"input": [{"type": "mcp_call"}]}, facts()).param == "input[0].type"
    assert error_of(responses.translate, {"input": [thought]}, facts()).param == "input"
    assert error_of(responses.translate, {}, facts()).param == "input"


def test_every_answer_comes_with_what_the_usage_needs() -> None:
    found = json.loads(check_request(dict(chat().jobs[0]), "tag", Visit("caller"), streaming=False))
    assert all(found[f"return_{name}"] for name in ("finish_reason", "num_input_tokens", "perf_metrics"))
