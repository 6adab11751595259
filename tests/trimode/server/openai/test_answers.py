"""From the pieces that generate answers to the shapes of each endpoint, without a server; openai's types read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response
from trimode.server.openai import chat_completions, completions
from trimode.server.openai.messages.answer import complete, error_body, message
from trimode.server.openai.messages.request import translate as message_wanted
from trimode.server.openai.responses.events import Events
from trimode.server.openai.responses.reply import Reply
from trimode.server.openai.responses.request import translate as response_wanted
from trimode.server.openai.shared.asked import Asked
from trimode.server.openai.shared.choice import Choice, Delta, best
from trimode.server.openai.shared.exchange import event
from trimode.server.openai.shared.thinking import Thinking
from trimode.server.openai.shared.usage import metrics, usage

from tests.support.openai_facts import COUNTS, END_ID, answered, error_of, facts, ids_of, piece

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


def chat(**body: Any) -> Asked:
    return chat_completions.translate({**CHAT, **body}, facts())


def test_a_whole_chat() -> None:
    asked = chat(n=2)
    shape = chat_completions.Shape("chatcmpl-1", 1, asked)
    choices = [answered(asked, piece("One.", "stop")), answered(asked, piece("Two", "length"))]
    found = ChatCompletion.model_validate(shape.whole(choices, 0.5), strict=True)
    assert [choice.message.content for choice in found.choices] == ["One.", "Two"]
    assert [choice.finish_reason for choice in found.choices] == ["stop", "length"]
    assert found.usage is not None and (found.usage.prompt_tokens, found.usage.completion_tokens) == (5, 6)
    assert found.model_extra is not None and found.model_extra["metrics"] is None


def test_a_stream_of_chunks() -> None:
    asked = chat(stream=True, stream_options={"include_usage": True})
    shape, choice = chat_completions.Shape("chatcmpl-1", 1, asked), Choice(asked, facts())
    made = [shape.opening(0)]
    for one in (piece("One"), piece(".", "stop")):
        made.append(shape.middle(0, choice.take(one)))
    made += [shape.closing(0, choice), shape.costs([choice], 0.1, 0.5)]
    chunks = [ChatCompletionChunk.model_validate(one, strict=True) for one in made]
    assert [chunk.choices[0].delta.content for chunk in chunks[:-1]] == ["", "One", ".", None]
    assert chunks[3].choices[0].finish_reason == "stop" and chunks[4].choices == []
    assert chunks[4].usage is not None and chunks[4].usage.total_tokens == 8


@pytest.mark.parametrize("more", [{}, {"return_token_ids": True}, {"logprobs": 0}, {"echo": True}])
def test_the_frame_around_a_text_is_that_of_its_chunk(more: dict[str, Any]) -> None:
    asked = completions.translate({"prompt": "x", "stream": True, **more}, facts())
    shape, choice = completions.Shape("cmpl-1", 1, asked), Choice(asked, facts())
    for number, text in enumerate(("One", "", ' "two"\\\n\0\u2028', "é🙂\ud800", ".")):
        ids = ids_of("One") if more else []
        one = piece(text, "stop" if text == "." else None)
        one |= {"output_ids": ids, "output_log_probs": [-0.5] * len(ids)} if more else {}
        delta, begins = choice.take(one), number == 0
        assert shape.said(0, choice, delta, begins) == event(shape.part(0, choice, delta, begins))


def test_a_piece_of_text_alone_adds_what_any_other_adds() -> None:
    for asked in (chat(stream=True), chat(stream=True, stop=["zz"])):
        short, long = Choice(asked, facts()), Choice(asked, facts())
        for text in ("One", "", " two"):
            said = {"model_name": "m", "model_version": "1", "text_output": text}
            assert short.take(said) == long.take({**said, "cum_log_probs": 0.0}) == Delta(text)
        assert (short.text, short._said) == (long.text, long._said) == ("One two", 7)


def test_passes_that_come_together_are_the_last_block_and_those_before_it() -> None:
    blocks: list[dict[str, Any]] = [
        {"start": 0, "step": step, "text": "░", "tokens": [], "committed": ""} for step in (1, 2, 3)
    ]
    for count, shown in (
        (0, {}),
        (1, {"provisional": blocks[0]}),
        (3, {"provisional": blocks[2], "earlier": blocks[:2]}),
    ):
        told = [json.dumps(block) for block in blocks[:count]]
        more = {} if not told else {"provisional": told[0] if count == 1 else told}  # Triton writes one as itself
        one = piece("One", None) | more
        talk = chat(stream=True)
        middle = chat_completions.Shape("chatcmpl-1", 1, talk).middle(0, Choice(talk, facts()).take(one))
        asked = completions.translate({"prompt": "x", "stream": True}, facts())
        choice = Choice(asked, facts())
        part = completions.Shape("cmpl-1", 1, asked).part(0, choice, choice.take(one), begins=False)
        assert [chunk["choices"][0].get("trimode", {}) for chunk in (middle, part)] == [shown, shown]


def test_the_last_chunk_of_a_completion_has_its_block_beside_its_counters() -> None:
    given = {"prompt": "x", "stream": True, "return_perf_metrics": True}
    asked = completions.translate(given, facts())
    choice = Choice(asked, facts())
    delta = choice.take(piece("One", "stop", forwards=3) | {"provisional": '{"start": 0}'})
    made = completions.Shape("cmpl-1", 1, asked).part(0, choice, delta, begins=False)["choices"][0]
    assert made["trimode"]["provisional"] == {"start": 0} and made["trimode"]["counters"]["forwards"] == 3


def test_a_whole_completion_with_log_probabilities() -> None:
    ids = ids_of("naïve 🙂")
    asked = completions.translate({"prompt": "x", "max_tokens": 99, "logprobs": 1}, facts())
    log_probs = [-0.5] * len(ids) + [-1.0]
    last = piece("naïve 🙂", "stop", output_ids=[*ids, END_ID], output_log_probs=log_probs)
    shape, choice = completions.Shape("cmpl-1", 1, asked), answered(asked, last)
    found = Completion.model_validate(shape.whole([choice], [choice], 0.5), strict=True)
    logprobs = found.choices[0].logprobs
    assert logprobs is not None and logprobs.text_offset is not None and logprobs.token_logprobs is not None
    assert logprobs.token_logprobs == log_probs  # that of the end too, as vLLM has it
    assert logprobs.text_offset == sorted(logprobs.text_offset) and logprobs.text_offset[-1] <= len("naïve 🙂")


def test_one_token_comes_from_triton_without_a_list() -> None:
    asked = completions.translate({"prompt": "x", "max_tokens": 1, "return_token_ids": True, "logprobs": 0}, facts())
    choice = answered(asked, piece("a", "length", output_ids=70, output_log_probs=-0.25))
    assert choice.ids == [70] and choice.tokens[0].log_prob == -0.25


def test_bytes_of_tokens_are_exact_and_ids_can_stand_for_them() -> None:
    ids = ids_of("🙂")
    asked = chat(logprobs=True, return_tokens_as_token_ids=True)
    choice = answered(asked, piece("🙂", "stop", output_ids=ids, output_log_probs=[-1.0] * len(ids)))
    shape = chat_completions.Shape("chatcmpl-1", 1, asked)
    found = ChatCompletion.model_validate(shape.whole([choice], 0.5)).choices[0].logprobs
    assert found is not None and found.content is not None
    assert bytes(byte for token in found.content for byte in token.bytes or []).decode() == "🙂"
    assert [token.token for token in found.content] == [f"token_id:{number}" for number in ids]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_thought_comes_apart_however_the_text_is_cut(size: int) -> None:
    whole = "a < b</thin k></think>c</think>d"
    thinking, thought, text = Thinking(thinks=True), "", ""
    for at in range(0, len(whole), size):
        more = thinking.push(whole[at : at + size], last=at + size >= len(whole))
        thought, text = thought + more[0], text + more[1]
    assert (thought, text) == ("a < b</thin k>", "c</think>d")


def test_a_thought_that_does_not_end_is_no_answer() -> None:
    assert Thinking(thinks=True).push("a</th", last=True) == ("a</th", "")
    assert Thinking(thinks=False).push("a</think>b", last=True) == ("", "a</think>b")


def test_the_tokens_of_a_thought_are_counted() -> None:
    ids = ids_of("one two</think>three")
    choice = answered(chat(reasoning_effort="low"), piece("one two</think>three", "stop", output_ids=ids))
    assert (choice.thought, choice.text) == ("one two", "three")
    assert choice.reasoning_tokens == len(ids_of("one two"))


def test_what_stopped_an_answer_is_known() -> None:
    asked = chat(stop=["zz", "two"])
    stopped = answered(asked, piece("one ", "stop", output_ids=ids_of("one two")))
    ended = answered(asked, piece("one ", "stop", output_ids=[*ids_of("one "), END_ID]))
    assert (stopped.stopped_by, ended.stopped_by) == ("two", None)


def test_a_gap_is_cut_at_the_first_stop() -> None:
    asked = completions.translate({"prompt": "a", "suffix": "b", "stop": ["y", "xyz"]}, facts())
    choice = answered(asked, piece("vwxyz", "length"))
    assert (choice.text, choice.finish_reason, choice.stopped_by) == ("vwx", "stop", "y")


def test_prompts_count_once() -> None:
    last = [{**COUNTS, "num_input_tokens": count, "cached_tokens": 9} for count in (5, 5, 7, 7)]
    found = usage(last, 2)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (12, 12)
    assert found["prompt_tokens_details"] == {"cached_tokens": 12}  # of each prompt at most all


def test_the_usage_says_what_a_prediction_gave() -> None:
    counts = {**COUNTS, "num_output_tokens": 9, "accepted_prediction_tokens": 7}
    last = [{**counts, "rejected_prediction_tokens": at} for at in (1, 4)]
    details = usage(last, 1)["completion_tokens_details"]
    assert details == {"reasoning_tokens": 0, "accepted_prediction_tokens": 14, "rejected_prediction_tokens": 5}


def test_predicted_tokens_that_a_stop_string_took_back_are_not_of_the_answer() -> None:
    last = [{**COUNTS, "num_output_tokens": 3, "accepted_prediction_tokens": 9, "rejected_prediction_tokens": 1}]
    details = usage(last, 1)["completion_tokens_details"]
    assert (details["accepted_prediction_tokens"], details["rejected_prediction_tokens"]) == (3, 7)


def test_the_metrics_of_one_answer() -> None:
    counts = {"verify_forwards": 2, "total_draft_tokens": 8, "total_accepted_draft_tokens": 6, "max_draft_tokens": 5}
    drafted = {**COUNTS, **counts, "acceptance_histogram": [0, 0, 1, 0, 1]}
    found = metrics([drafted], 0.1, 0.5)
    assert found is not None
    assert found["speculative_decoding"]["mean_acceptance_length"] == 4.0
    assert found["speculative_decoding"]["draft_acceptance_rate"] == 0.75
    assert found["speculative_decoding"]["acceptance_histogram"] == [0, 0, 1, 0, 1]
    assert found["speculative_decoding"]["num_spec_tokens"] == 5
    assert found["mean_itl_ms"] == pytest.approx(200.0) and found["tokens_per_second"] == 6.0
    assert metrics([drafted, drafted], None, 0.5) is None


@pytest.mark.parametrize("first", [0.1, None])
def test_the_metrics_say_what_the_server_measured_streamed_or_not(first: float | None) -> None:
    timing = {"queue_time_ms": 1.5, "time_to_first_token_ms": 30.0, "mean_itl_ms": None}
    found = metrics([{**COUNTS, "timing": json.dumps(timing)}], first, 0.5)
    assert found is not None and {name: found[name] for name in timing} == timing
    assert found["generation_time_ms"] == 500.0


def test_a_histogram_of_one_count_is_a_list() -> None:
    refused = {
        **COUNTS,
        "verify_forwards": 2,
        "total_draft_tokens": 8,
        "acceptance_histogram": 2,
    }  # as Triton writes it
    found = metrics([refused], None, 0.5)
    assert found is not None and found["speculative_decoding"]["acceptance_histogram"] == [2]


def test_the_best_answers_of_each_prompt() -> None:
    asked = completions.translate({"prompt": ["a", "b"], "max_tokens": 5, "best_of": 2}, facts())
    found = [answered(asked, piece(name, "stop", cum_log_probs=value))
             for name, value in (("p", -2.0), ("q", -1.0), ("r", -1.0), ("s", -3.0))]  # fmt: skip
    assert [choice.text for choice in best(found, 1, 2)] == ["q", "r"]
    assert [choice.text for choice in best(found, None, 2)] == ["p", "q", "r", "s"]


def test_a_response_and_its_events() -> None:
    wanted = response_wanted({"input": "Hi", "max_output_tokens": 5, "reasoning": {"effort": "low"}}, facts())
    reply = Reply(1, wanted, Choice(wanted.asked, facts()))
    made = Events(reply)
    sent = made.state("created")
    for one in (piece("a"), piece("b</think>c"), piece("d", "length", output_ids=[])):
        delta = reply.choice.take(one)
        sent += (made.thought(delta.thought) if delta.thought else b"") + (made.text(delta.text) if delta.text else b"")
    sent += made.close()
    found = [json.loads(line[6:]) for line in sent.decode().splitlines() if line.startswith("data: ")]
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    assert [one["type"].removeprefix("response.") for one in found] == [
        *("created", "output_item.added", "reasoning_text.delta", "reasoning_text.delta", "reasoning_text.done"),
        *("output_item.done", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
    ]
    body = Response.model_validate(reply.body(), strict=True)
    assert (body.output_text, body.status) == ("cd", "incomplete")


def test_a_message_of_anthropics() -> None:
    body = {**CHAT, "stop_sequences": ["x"], "thinking": {"type": "enabled"}}
    asked = message_wanted(body, facts())
    found = message("msg_1", answered(asked, piece("a</think>b", "length", output_ids=[])))
    assert [block["type"] for block in found["content"]] == ["thinking", "text"]
    assert found["stop_reason"] == "max_tokens" and found["usage"]["input_tokens"] == 3
    assert found["usage"]["cache_read_input_tokens"] == 2


def test_anthropics_package_learns_that_no_thread_is_kept() -> None:
    error = error_of(message_wanted, {**CHAT, "thread": {"type": "create"}}, facts())
    assert error_body(error)["error"]["details"] == {"error_code": "thread_unsupported_request"}
    assert set(error_body(error_of(message_wanted, {}, facts()))["error"]) == {"type", "message"}


def test_the_input_of_a_call_that_is_cut_is_empty() -> None:
    assert complete('{"a": 1}') == {"a": 1} and complete('{"a": ') == complete("") == {}
