"""The SDK, blocking and asyncio, against the real server over both protocols."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from trimode.api.fields import Mode, ModeName
from trimode_client import AsyncClient, Completion, InvalidRequestError, PromptTooLongError

from tests.server.sdk import PROMPT, Protocol, client, protocols, url
from tests.server.server import Server

QUESTION = "What is 23 + 2221?"
LONG: dict[str, Any] = {"mode": "autoregressive", "max_tokens": 1500, "end_id": -1}

modes = pytest.mark.parametrize("mode", [mode.value for mode in Mode])
fixed_modes = pytest.mark.parametrize("mode", [mode.value for mode in Mode if mode is not Mode.AUTO])
"""Those that take the same passes each time; auto takes those that what it has seen since makes the best."""


def ask(server: Server, protocol: Protocol, **knobs: Any) -> Completion:
    with client(server, protocol) as asking:
        return asking.generate(text_input=PROMPT, **{"max_tokens": 24, "end_id": -1, **knobs})


@protocols
@modes
def test_a_stream_is_the_answer_at_once(server: Server, protocol: Protocol, mode: ModeName) -> None:
    with client(server, protocol) as asking:
        streamed = asking.stream(text_input=PROMPT, mode=mode, max_tokens=24, end_id=-1).finish()
    assert streamed.token_ids == ask(server, protocol, mode=mode).token_ids


@protocols
def test_a_stream_comes_in_pieces(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        pieces = list(asking.stream(text_input=PROMPT, mode="autoregressive", max_tokens=24, end_id=-1))
    assert len(pieces) > 5
    assert [piece.completion is not None for piece in pieces] == [False] * (len(pieces) - 1) + [True]


@modes
def test_both_protocols_answer_the_same(server: Server, mode: str) -> None:
    over_grpc, over_http = (ask(server, protocol, mode=mode, return_log_probs=True) for protocol in ("grpc", "http"))
    assert (over_grpc.text, over_grpc.token_ids) == (over_http.text, over_http.token_ids)
    assert over_grpc.log_probs == pytest.approx(over_http.log_probs, abs=1e-4)


@fixed_modes
def test_both_protocols_count_the_same(server: Server, mode: str) -> None:
    over_grpc, over_http = (ask(server, protocol, mode=mode) for protocol in ("grpc", "http"))
    assert over_grpc.counters == pytest.approx(over_http.counters)


@protocols
def test_auto_counts_as_many_cycles_as_it_says(server: Server, protocol: Protocol) -> None:
    completion = ask(server, protocol, mode="auto")
    assert completion.auto is not None
    counters = completion.counters
    drafted = counters["verify_forwards"]  # a cycle of two passes or of one, which verifies and drafts
    assert counters["decode_forwards"] + drafted == sum(completion.auto.cycles.values())
    assert counters["forwards"] == sum(counters[f"{kind}_forwards"] for kind in ("decode", "draft", "verify"))


@protocols
def test_self_speculation_answers_as_autoregressive(server: Server, protocol: Protocol) -> None:
    plain, drafted = (ask(server, protocol, mode=mode) for mode in ("autoregressive", "self_speculation"))
    assert drafted.token_ids == plain.token_ids
    assert drafted.counters["draft_forwards"] > 0


@protocols
def test_the_completion_says_what_it_cost(server: Server, protocol: Protocol) -> None:
    completion = ask(server, protocol, mode="autoregressive")
    assert (completion.finish_reason, completion.num_output_tokens) == ("length", 24)
    assert completion.counters["decode_forwards"] == 23
    assert completion.num_input_tokens > 0


@protocols
def test_the_effective_values_come_back(server: Server, protocol: Protocol) -> None:
    params = ask(server, protocol, mode="diffusion", denoise_steps=3, block_length=8, seed=2**40).params
    assert [params[name] for name in ("mode", "denoise_steps", "block_length", "seed")] == ["diffusion", 3, 8, 2**40]


@protocols
def test_a_single_token_and_its_log_prob_are_lists(server: Server, protocol: Protocol) -> None:
    completion = ask(server, protocol, max_tokens=1, return_log_probs=True)
    assert (len(completion.token_ids), len(completion.log_probs)) == (1, 1)
    assert completion.cum_log_probs == pytest.approx(completion.log_probs[0])


@protocols
def test_a_question_is_answered_as_the_chat_that_it_is(server: Server, protocol: Protocol) -> None:
    messages = [{"role": "user", "content": QUESTION}]
    with client(server, protocol) as asking:
        asked, named = asking.generate(QUESTION), asking.generate(messages=messages)
        raw = asking.generate(text_input=QUESTION)
        streamed = asking.stream(QUESTION).finish()
    assert asked.text == named.text == streamed.text
    assert asked.text.endswith("Answer: 2244")
    assert asked.num_input_tokens > raw.num_input_tokens


def test_an_asyncio_question_is_a_chat_too(server: Server) -> None:
    async def ask() -> str:
        async with AsyncClient(url(server, "grpc")) as asking:
            streamed = await asking.stream(QUESTION).finish()
            assert (await asking.generate(QUESTION)).text == streamed.text
            return streamed.text

    assert asyncio.run(ask()).endswith("Answer: 2244")


@protocols
def test_messages_and_the_rendered_prompt_are_one_request(server: Server, protocol: Protocol) -> None:
    messages = [{"role": "user", "content": "héllo"}]
    with client(server, protocol) as asking:
        completion = asking.generate(messages=messages, max_tokens=4, end_id=-1, exclude_input_in_output=False)
    assert "llo" in completion.text


@protocols
def test_stop_words_end_the_answer(server: Server, protocol: Protocol) -> None:
    whole = ask(server, protocol, mode="autoregressive").text
    stop = whole[5:7]
    cut = ask(server, protocol, mode="autoregressive", stop_words=[stop])
    assert (cut.text, cut.finish_reason) == (whole[: whole.index(stop)], "stop")


@protocols
def test_knobs_that_do_not_go_together_are_the_servers_to_refuse(server: Server, protocol: Protocol) -> None:
    with pytest.raises(InvalidRequestError, match="not_applicable: block_length applies to mode"):
        ask(server, protocol, mode="autoregressive", block_length=4)


@protocols
def test_an_answer_that_cannot_fit_has_its_own_error(server: Server, protocol: Protocol) -> None:
    with pytest.raises(PromptTooLongError):
        ask(server, protocol, max_tokens=1_000_000)


@protocols
def test_an_error_of_a_stream_comes_with_the_first_piece(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking, pytest.raises(InvalidRequestError):
        next(asking.stream(text_input=PROMPT, mode="autoregressive", block_length=4))


@protocols
def test_leaving_a_stream_cancels_it_on_the_server(server: Server, protocol: Protocol) -> None:
    server.settle()
    before = server.metric("trimode_requests_total", outcome="cancelled")
    with client(server, protocol) as asking:
        for _ in asking.stream(text_input=PROMPT, **LONG):
            break
        server.wait_metric("trimode_requests_total", before + 1, outcome="cancelled")


@protocols
def test_leaving_an_asyncio_stream_cancels_it_on_the_server(server: Server, protocol: Protocol) -> None:
    server.settle()
    before = server.metric("trimode_requests_total", outcome="cancelled")

    async def leave() -> None:
        async with AsyncClient(url(server, protocol), protocol) as asking:
            async with asking.stream(text_input=PROMPT, **LONG) as stream:
                await anext(stream)
            await asyncio.to_thread(server.wait_metric, "trimode_requests_total", before + 1, outcome="cancelled")

    asyncio.run(leave())


@protocols
def test_threads_share_a_client(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking, ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: asking.generate(text_input=PROMPT, max_tokens=16, end_id=-1).token_ids, range(16))
        assert len(set(answers)) == 1


@protocols
def test_asyncio_requests_run_side_by_side(server: Server, protocol: Protocol) -> None:
    async def gather() -> list[Completion]:
        async with AsyncClient(url(server, protocol), protocol) as asking:
            return await asyncio.gather(
                *(asking.generate(text_input=PROMPT, max_tokens=16, end_id=-1) for _ in range(16))
            )

    assert len({answer.token_ids for answer in asyncio.run(gather())}) == 1


@protocols
def test_the_server_is_healthy(server: Server, protocol: Protocol) -> None:
    with client(server, protocol) as asking:
        asking.wait_until_ready(10.0)
        assert asking.health().ok


@protocols
def test_asyncio_health(server: Server, protocol: Protocol) -> None:
    async def health() -> bool:
        async with AsyncClient(url(server, protocol), protocol) as asking:
            await asking.wait_until_ready(10.0)
            return (await asking.health()).ok

    assert asyncio.run(health())
