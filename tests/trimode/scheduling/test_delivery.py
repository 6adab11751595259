"""Delivery and the outbox: what of an answer goes out, when, and in what order."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
from trimode.api.answer import Chunk, Decisions
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.block import Block
from trimode.decoding.sequence import SequenceState
from trimode.errors import CancelledError, EngineError, TrimodeError
from trimode.scheduling import delivery
from trimode.scheduling.job import Job
from trimode.scheduling.outbox import Outbox
from trimode.scheduling.snapshot import BlockSnapshot
from trimode.text.answer_text import AnswerText

from tests.support.toy import EOS, MASK, VOCAB, byte_tokenizer

TOKENIZER = byte_tokenizer()


def job_of(text: str, **given: Any) -> tuple[Job, list[Chunk], list[int]]:
    """A job whose answer is `text`, the chunks that it sent, and the answer's tokens, all committed."""
    asked = {"input_ids": [3], "seed": 1, "max_tokens": 90, **given}
    params = GenerationParams.parse(asked, Defaults(VOCAB + 1, 8, EOS))
    seq, ids = SequenceState(params, [3], MASK), TOKENIZER.encode(text)
    seq.commit(ids, [0.0] * len(ids))
    sent: list[Chunk] = []
    words = tuple(given.get("stop_words", ()))
    return Job(seq, AnswerText(TOKENIZER, words, at_once=False), sent.append), sent, ids


def test_text_is_pending_until_it_is_sent_and_is_sent_once() -> None:
    job, sent, ids = job_of("abc")
    delivery.add_text(job, ids)
    assert (job.pending, delivery.is_due(job)) == ("abc", False)  # it does not stream
    job.prompt_text = "prompt:"
    delivery.send(job, Chunk())
    delivery.send(job, Chunk())
    assert [(chunk.text, chunk.token_ids) for chunk in sent] == [("prompt:abc", ids), ("", [])]


@pytest.mark.parametrize(("given", "news"), [({"stream": True}, True), ({"stream": False}, False)])
def test_only_a_stream_has_news_before_the_end(given: dict[str, Any], news: bool) -> None:
    job, _, ids = job_of("abc", **given)
    assert delivery.is_due(job) is False
    delivery.add_text(job, ids)
    assert delivery.is_due(job) is news


def test_after_the_first_response_a_stream_waits_for_its_interval() -> None:
    job, sent, ids = job_of("abcdef", stream=True, stream_interval=3)
    delivery.add_text(job, ids[:1])
    job.sequence.tokens = ids[:1]
    assert delivery.is_due(job)
    delivery.send(job, Chunk())
    for count, due in ((2, False), (3, False), (4, True)):
        delivery.add_text(job, ids[count - 1 : count])
        job.sequence.tokens = ids[:count]
        assert delivery.is_due(job) is due
    delivery.send(job, Chunk())
    assert [chunk.text for chunk in sent] == ["a", "bcd"]


@pytest.mark.parametrize(("milliseconds", "since", "due"), [(50, 1.0, True), (10**9, 1.0, False)])
def test_tokens_wait_no_longer_than_the_interval(milliseconds: int, since: float, due: bool) -> None:
    job, _, ids = job_of("abc", stream=True, stream_interval_ms=milliseconds)
    delivery.send(job, Chunk())
    assert job.sent_at is not None
    job.sent, job.sent_at = 2, job.sent_at - since
    delivery.add_text(job, ids[2:])
    assert delivery.is_due(job) is due


WATCHED: dict[str, Any] = {"mode": "diffusion", "stream": True, "stream_provisional": True}


def watched(text: str, **given: Any) -> tuple[Job, list[tuple[Chunk, list[BlockSnapshot]]]]:
    """A job whose answer so far is `text`, all said, with a block of two tokens behind it, and what it sent."""
    job, _, ids = job_of(text, **WATCHED, **given)
    delivery.add_text(job, ids)
    job.sequence.block = Block.masked(1 + len(ids), 2, MASK, 2)
    seen: list[tuple[Chunk, list[BlockSnapshot]]] = []
    job.deliver = lambda chunk: seen.append((chunk, []))
    job.watch = lambda chunk, passes: seen.append((chunk, passes))
    return job, seen


def test_without_milliseconds_a_block_goes_after_each_pass() -> None:
    job, _ = watched("")
    delivery.send(job, Chunk())
    assert not delivery.is_due(job)
    delivery.note_pass(job)
    assert delivery.is_due(job)


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(("since", "due"), [(1.0, True), (0.0, False)])
def test_passes_wait_until_so_long_after_the_last_response_or_the_request(sent: bool, since: float, due: bool) -> None:
    job, _ = watched("", stream_interval_ms=900)
    job.submitted = time.monotonic() + 10**6
    if sent:
        delivery.send(job, Chunk())
        job.sent_at = time.monotonic() - since if since else time.monotonic() + 10**6
    elif since:
        job.submitted = time.monotonic() - since
    delivery.note_pass(job)
    assert delivery.is_due(job) is due


def test_passes_and_the_text_beside_them_go_in_order_and_once() -> None:
    job, seen = watched("abc", stream_interval_ms=10**9)
    job.prompt_text = "prompt:"
    delivery.note_pass(job)
    job.sequence.current.decide({0: 9})
    job.sequence.current.step += 2
    job.pending += "d"
    delivery.note_pass(job)
    assert not delivery.is_due(job)
    delivery.send(job, Chunk())
    delivery.send(job, Chunk())
    (chunk, passes), (rest, none) = seen
    assert (chunk.text, rest.text, none) == ("prompt:abcd", "", [])
    assert [(one.step, one.said, one.open.tolist()) for one in passes] == [
        (1, 10, [True, True]),
        (2, 11, [False, True]),
    ]


def test_a_response_has_a_limited_number_of_passes() -> None:
    job, _ = watched("", stream_interval_ms=10**9)
    job.submitted = time.monotonic() + 10**6
    for _ in range(delivery.MOST_PASSES - 1):
        delivery.note_pass(job)
    assert not delivery.is_due(job)
    delivery.note_pass(job)
    assert delivery.is_due(job)


@pytest.mark.parametrize("error", [EngineError("no memory"), CancelledError()], ids=str)
def test_passes_that_wait_go_before_what_ends_the_answer(error: TrimodeError) -> None:
    job, seen = watched("", stream_interval_ms=10**9)
    delivery.note_pass(job)
    delivery.send_held_back(job)
    job.deliver(delivery.last_chunk(job, None, error))
    assert [(len(passes), chunk.error) for chunk, passes in seen] == [(1, None), (0, error)]


def test_a_stop_word_ends_the_answer_at_its_token() -> None:
    job, _, ids = job_of("abXcd", stop_words=["X"])
    delivery.add_text(job, ids)
    assert (job.pending, job.sequence.finish_reason) == ("ab", "stop")
    assert job.sequence.tokens == ids[:3]


def test_the_last_chunk_says_what_the_answer_cost() -> None:
    job, _, _ = job_of("abc")
    job.sequence.finish("length")
    chunk = delivery.last_chunk(job, Decisions({"autoregressive": 3}, 1.0, 3.0))
    assert (chunk.finish_reason, chunk.error, chunk.num_input_tokens) == ("length", None, 1)
    assert chunk.counters is job.sequence.counters and chunk.counters.output_tokens == 3
    assert chunk.auto is not None and chunk.seconds >= 0


def test_an_error_ends_an_answer_without_a_reason() -> None:
    job, _, _ = job_of("abc")
    chunk = delivery.last_chunk(job, None, EngineError("no memory"))
    assert chunk.last and chunk.finish_reason is None and str(chunk.error) == "no memory"


def test_the_outbox_keeps_the_order_outlives_a_sink_that_fails_and_sends_all_before_it_closes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outbox, got, threads = Outbox(), list[str](), set[str]()

    def sink(chunk: Chunk) -> None:
        threads.add(threading.current_thread().name)
        if chunk.text == "bad":
            raise ValueError("a client's own defect")
        got.append(chunk.text)

    with caplog.at_level(logging.ERROR):
        for text in ("a", "bad", "b", "c"):
            outbox.post(sink, Chunk(text))
        outbox.close()
    assert (got, threads) == (["a", "b", "c"], {"trimode-sender"})
    assert "a sink failed" in caplog.text
